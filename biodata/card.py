"""What a dataset says of itself: the repair explained in plain words, and the card in front of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biodata.schema import SPLITS

_WAYS = {
    "LinClust": ("LinClust", "clusters"),
    "k-mer sketches": ("Sketches of k-mers", "clusters"),
    "random": ("A random split", "units (single rows, or rows that must not part)"),
    "group": ("The values named", "groups"),
    "taxon": ("The names of organisms", "taxa"),
    "time": ("A split by date", "units (single rows, or rows that must not part)"),
    "scaffold": ("Molecular scaffolds", "groups"),
}


def explain_repair(repair: Mapping[str, Any], *, identity: float, coverage: float, rows: int) -> str:
    """The repair in sentences with the data's own figures.

    Args:
        repair: the `repair` entry of a manifest.
        rows: rows before the repair.
    """
    alike = f"at least {identity:.0%} identical over at least {coverage:.0%} of both sequences"
    plain = repair["plain_split"]
    how, units = _WAYS[repair.get("split_by", "LinClust")]
    sentences = [
        f"{how} put {rows:,} rows into {repair['clusters_before']:,} {units}; a split by them "
        f"alone would have left {plain['leaking_rows']:,} of {plain['held_out_rows']:,} held-out rows "
        f"({_share(plain['leaking_rows'], plain['held_out_rows'])}) with a row in another split that is "
        f"{alike}."
    ]
    joined = repair["clusters_before"] - repair["clusters_after"]
    if joined:
        sentences.append(
            f"{units.capitalize()} connected by such pairs were joined: {repair['clusters_before']:,} became "
            f"{repair['clusters_after']:,}, no row was lost by this."
        )
    if repair["percolating_rows"]:
        sentences.append(
            f"The {units} of {repair['percolating_rows']:,} rows are connected through intermediates: the "
            f"largest group joined would hold {repair['largest_component']:,} rows "
            f"({repair['largest_component_fraction']:.1%}, the limit is {repair['max_component']:.0%}), "
            f"too many for one split, so these {units} stayed apart and rows were purged instead."
        )
    purged = repair["rows_purged"]
    if sum(purged.values()):
        where = ", ".join(f"{count:,} from {name}" for name, count in purged.items() if count)
        sentences.append(
            f"Purged: {sum(purged.values()):,} rows ({where}), a greedy choice of few rows after which no "
            "similar pair crosses the split."
        )
    elif not joined:
        sentences.append("Nothing had to be repaired.")
    return " ".join(sentences)


def dataset_card(manifest: Mapping[str, Any]) -> str:
    """`README.md` of a dataset folder: Hugging Face header, then counts, sources, rules and the audit."""
    return "\n".join([*_header(manifest), "", *_body(manifest), ""])


def _header(manifest: Mapping[str, Any]) -> list[str]:
    lines = ["---", "tags:", "- biology", f"- {manifest['alphabet']}", "- seqloom", "configs:",
             "- config_name: default", "  default: true", "  data_files:"]  # fmt: skip
    for split in SPLITS:
        # `datasets` refuses a split without rows: its file is there, but the card leaves it out.
        names = [entry["name"] for entry in manifest["files"] if entry["split"] == split and entry["rows"]]
        if not names:
            continue
        lines += [f"  - split: {split}", "    path:", *(f"    - {name}" for name in names)]
    return [*lines, "---"]


def _body(manifest: Mapping[str, Any]) -> list[str]:
    audit, repair = manifest["audit"], manifest["repair"]
    best = audit["max_identity"]
    nearest = f"{best:.1%}" if best is not None else f"below {audit['searched_from_identity']:.0%}"
    lines = [f"# {manifest['rows']:,} {manifest['alphabet']} sequences", "",
             f"Made by seqloom {manifest['seqloom_version']}, fingerprint `{manifest['fingerprint'][:16]}`.",
             _where(manifest), "",
             "| split | rows |", "|---|---:|"]  # fmt: skip
    lines += [f"| {name} | {count:,} |" for name, count in manifest["splits"].items()]
    lines += ["", "## Sources", "", "| file | bytes | sha256 |", "|---|---:|---|"]
    for source in manifest["sources"]:
        name = source.get("name", "")
        shown = f"[{name}]({source['url']})" if source.get("url") else name
        lines.append(f"| {shown} | {source.get('size', 0):,} | `{source.get('sha256', '')}` |")
    lines += _terms(manifest["sources"])
    lines += ["", "## Rows dropped or changed", "", "| rule | dropped | changed |", "|---|---:|---:|"]
    rules = sorted({*manifest["dropped"], *manifest["changed"]})
    lines += [f"| {rule} | {manifest['dropped'].get(rule, 0):,} | {manifest['changed'].get(rule, 0):,} |"
              for rule in rules]  # fmt: skip
    lines += ["", "## Split", "", repair["explanation"], "", "## Audit", "",
              f"Leak: a held-out row at least {audit['identity']:.0%} identical to a row of another "
              f"split, over at least {audit['coverage']:.0%} of both. Method: {audit['method']}.", "",
              "| leaking pairs | leaking rows | highest identity between splits | rows compared exactly |",
              "|---:|---:|---:|---:|",
              f"| {audit['leaking_pairs']:,} | {audit['leaking_rows']:,} | {nearest} | "
              f"{audit['exact']['queries']:,} |"]  # fmt: skip
    return lines


def _where(manifest: Mapping[str, Any]) -> str:
    whole = manifest.get("exported_from")
    if whole is None:
        return "Everything below is in `manifest.json`; removed rows are listed in `removed/`."
    of = f"the dataset `{whole['fingerprint'][:16]}` of {whole['rows']:,} rows"
    return f"Everything below is in `manifest.json`. Exported from {of}; rules, split and audit are its own."


def _terms(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each archive that files were fetched from: release, licence, what to cite."""
    found = dict.fromkeys(
        (s["source"], s["release"], s["licence"], s["citation"]) for s in sources if s.get("url")
    )
    lines = []
    for name, release, licence, citation in found:
        of_release = f", release {release}" if release else ""
        lines.append(f"- `{name}`{of_release}: {licence}{f'; cite {citation}' if citation else ''}")
    return ["", *lines] if lines else []


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0 %"
