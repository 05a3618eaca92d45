"""The dataset: sources, what each rule dropped or changed, splits, repair, audit."""

from __future__ import annotations

from typing import Any

from bioeval.report.inputs import Facts, Json
from bioeval.report.markup import (
    Html,
    code,
    details,
    facts_list,
    figures,
    missing,
    number,
    paragraph,
    percent,
    row_of,
    section,
    table,
    tiles,
)

KEY, TITLE = "data", "Data"


def render(facts: Facts) -> str:
    """Key figures, rules, splits, audit, sources."""
    manifest = facts.manifest
    if not manifest:
        return section(KEY, TITLE, missing("No dataset was built in this run."))
    parts = [_tiles(manifest), _rules(manifest), _repair(manifest), _audit(manifest), _sources(manifest)]
    return section(KEY, TITLE, "".join(parts))


def rows_of(manifest: Json) -> int:
    """Rows in all splits."""
    return int(manifest.get("rows", sum(manifest.get("splits", {}).values())))


def _tiles(manifest: Json) -> str:
    shown: list[tuple[str, Any]] = [("sequences kept", number(rows_of(manifest)))]
    total = max(rows_of(manifest), 1)
    for name, rows in manifest.get("splits", {}).items():
        shown.append((f"{name} ({percent(rows / total, 0)})", number(rows)))
    if isinstance(manifest.get("clusters"), int):
        shown.append(("clusters", number(manifest["clusters"])))
    return tiles(shown)


def _rules(manifest: Json) -> str:
    rules = manifest.get("rules", {})
    dropped = manifest.get("dropped") or rules.get("dropped", {})
    changed = manifest.get("changed") or rules.get("changed", {})
    tables = []
    for title, counts in (("Dropped", dropped), ("Changed", changed)):
        if counts:
            listed = [(rule.replace("-", " ").replace("_", " "), number(n)) for rule, n in counts.items()]
            tables.append(table((title, "rows" if title == "Dropped" else "count"), listed))
    if not tables:
        return paragraph("No row was dropped and none was changed.")
    read = rows_of(manifest) + sum(dropped.values())
    words = (
        f"Of {read:,} rows read or cut out, {rows_of(manifest):,} were kept; every other one has a reason."
    )
    return "<h3>What the rules did</h3>" + paragraph(words) + row_of(*tables)


def _repair(manifest: Json) -> str:
    """Why a plain cluster split is not enough, with the user's own figures."""
    plain, joined = find(manifest, "plain"), find(manifest, "joined")
    explanation = find(manifest, "explanation")
    if not plain and not joined and not explanation:
        return ""
    sentences = []
    if plain and plain.get("held_out_rows"):
        share = plain["leaking_rows"] / plain["held_out_rows"]
        sentences.append(
            f"Split by LinClust clusters alone, {plain['leaking_rows']:,} of {plain['held_out_rows']:,} "
            f"held-out rows ({percent(share)}) would have a near copy in another split: LinClust compares "
            f"each sequence with few others, so similar ones can end up in different clusters."
        )
    if joined:
        sentences.append(
            f"Clusters that a similar pair connects were joined, which leaves {joined['clusters']:,} "
            f"clusters, the largest of {joined['largest_cluster']:,} rows."
        )
        if joined.get("percolating_rows"):
            sentences.append(
                f"{joined['percolating_rows']:,} rows are connected into components too large to be joined; "
                f"there rows were purged instead until no similar pair crossed the split."
            )
    words = explanation if isinstance(explanation, str) else " ".join(sentences)
    return "<h3>Split and repair</h3>" + paragraph(words)


def _audit(manifest: Json) -> str:
    audit = manifest.get("audit")
    if not audit:
        return paragraph("The split was not audited.", kind="warning")
    verdict = (
        '<span class="good">clean</span>'
        if not audit.get("leaking_rows")
        else '<span class="bad">leaks</span>'
    )
    highest = audit.get("max_identity")
    listed = [
        ("Verdict", Html(verdict)),
        (
            "A leak is",
            f"identity ≥ {percent(audit['identity'], 0)} over {percent(audit['coverage'], 0)} of both",
        ),
        ("Leaking pairs", number(audit.get("leaking_pairs"))),
        ("Leaking held-out rows", number(audit.get("leaking_rows"))),
        ("Highest identity across splits", number(highest, shown=percent(highest))),
    ]
    search, exact = audit.get("search", {}), audit.get("exact", {})
    if search.get("planted"):
        listed.append(
            ("Planted near copies found again", f"{search['planted_found']} of {search['planted']}")
        )
    if exact.get("pairs"):
        done = "every held-out row" if exact.get("complete") else f"{exact['queries']:,} held-out rows"
        listed.append(("Compared exactly as well", f"{done}, {figures(exact['pairs'])} pairs"))
    method = details("How the audit works", paragraph(audit["method"])) if audit.get("method") else ""
    return "<h3>Audit of the split</h3>" + facts_list(listed) + method


def _sources(manifest: Json) -> str:
    sources = manifest.get("sources", [])
    if not sources:
        return ""
    rows = [
        (s.get("name", s.get("url", "?")), number(s.get("size"), shown=_size(s.get("size"))),
         code(str(s.get("sha256", ""))[:16] + "…"))
        for s in sources
    ]  # fmt: skip
    return "<h3>Sources</h3>" + table(("File", "Size", "SHA-256"), rows)


def find(tree: Json, name: str) -> Any:
    """The first value of a key anywhere in nested mappings, or nothing."""
    if name in tree:
        return tree[name]
    for inner in tree.values():
        if isinstance(inner, dict) and (found := find(inner, name)):
            return found
    return None


def _size(size: int | None) -> str:
    """Bytes in the unit that leaves 1 to 4 digits."""
    value = float(size or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
