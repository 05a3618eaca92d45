"""Files in, verified dataset out: ingest, cluster, split, repair, write, audit, manifest last.

Everything happens in `DIR/.build`, keyed by a fingerprint of configuration, inputs and versions, and moves to
its place when it is done. Finished steps are kept: a build that was killed goes on where it was and ends with
the same bytes.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import biodata
from biodata.audit import Audit, audit
from biodata.card import dataset_card, explain_repair
from biodata.config_content import content_of
from biodata.curate.config import CurateConfig
from biodata.curate.exclusion import exclusion_entry
from biodata.curate.reverse import Readings, check_kind, plan_readings
from biodata.curate.stage import Curated, curate
from biodata.dataset import CARD, DATA, MANIFEST, is_dataset, open_dataset, write_splits
from biodata.errors import ConfigError, DataError, InterruptedRunError, SeqloomError
from biodata.files import fingerprint, read_json, sha256_file, write_json, write_text
from biodata.folders import check_target, locked
from biodata.ingest import ReadConfig, ingest
from biodata.io.detect import expand_inputs
from biodata.mmseqs import find_mmseqs, normalised
from biodata.progress import progress
from biodata.publish import PURGE_REASON, load_split, publish, save_split, write_removed
from biodata.schema import SCHEMA_VERSION, SPLITS
from biodata.search import Hits
from biodata.split import PURGED, Split, SplitConfig, repair_again, split_rows

_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """What is read, what is kept of all rows, and how it is split."""

    read: ReadConfig = field(
        default_factory=ReadConfig, metadata={"help": "what is read and how it is cleaned"}
    )
    curate: CurateConfig = field(
        default_factory=CurateConfig, metadata={"help": "near duplicates, caps, samples, second readings"}
    )
    split: SplitConfig = field(
        default_factory=SplitConfig, metadata={"help": "clusters, split, repair, audit"}
    )
    overwrite: bool = field(default=False, metadata={"help": "replace another seqloom dataset in the folder"})

    def __post_init__(self) -> None:
        check_kind(self.curate.augment, self.read.alphabet)


def build_dataset(config: BuildConfig, out: Path) -> dict[str, Any]:
    """Builds a dataset folder, or returns at once if it is there already.

    Returns:
        The fields of `seqloom data build`.

    Raises:
        ConfigError: the folder holds something else.
        DataError: the input cannot be read or split as asked.
        InterruptedRunError: stopped by Ctrl-C; the same call goes on.
    """
    out = Path(out)
    check_target(out, finished=is_dataset(out))
    key = build_key(config)
    try:
        with locked(out) as work:
            manifest = _finished(config, out, key)
            if manifest is None:
                _discard_others(work, key)
                manifest = _build(config, out, work / key[:16], key)
            shutil.rmtree(work, ignore_errors=True)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; what is finished is kept in {out}: run the same command again to go on"
        ) from None
    return summary(manifest, out)


def summary(manifest: dict[str, Any], out: Path) -> dict[str, Any]:
    """The fields of `seqloom data build` from a manifest."""
    names = ("rows", "splits", "clusters", "dropped", "audit", "repair", "fingerprint")
    return {"path": str(out)} | {name: manifest[name] for name in names}


def build_key(config: BuildConfig) -> str:
    """Fingerprint of all that decides the bytes of a dataset; file contents, not their places."""
    files = [[path.name, sha256_file(path)] for path in expand_inputs(config.read.inputs)]
    return fingerprint(
        {"read": _content(config.read), "files": files, "curate": content_of(config.curate),
         "exclusion": exclusion_entry(config.read.exclusion, {}, None), "split": _recorded(config.split),
         "schema": SCHEMA_VERSION, "seqloom": biodata.__version__, "pyarrow": pa.__version__,
         "mmseqs": find_mmseqs().version}
    )  # fmt: skip


def _content(config: ReadConfig) -> dict[str, Any]:
    """Fields of the configuration, paths replaced by the hashes of their files; inputs are hashed apart."""
    return {name: value for name, value in content_of(config).items() if name != "inputs"}


def _plain(config: Any) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}


def _recorded(config: SplitConfig) -> dict[str, Any]:
    return {name: value for name, value in _plain(config).items() if name != "threads"}


def _finished(config: BuildConfig, out: Path, key: str) -> dict[str, Any] | None:
    if not is_dataset(out):
        return None
    dataset = open_dataset(out)
    if dataset.manifest.get("build_key") == key:
        for split in SPLITS:
            dataset.files(split)
        return dataset.manifest
    if not config.overwrite:
        raise ConfigError(f"{out} holds another dataset (other input or settings): "
                          "use another --out, or --overwrite to replace it")  # fmt: skip
    return None


def _discard_others(work: Path, key: str) -> None:
    for path in work.iterdir():
        if path.is_dir() and path.name != key[:16]:
            shutil.rmtree(path, ignore_errors=True)


def _build(config: BuildConfig, out: Path, work: Path, key: str) -> dict[str, Any]:
    if not (work / MANIFEST).is_file():
        shutil.rmtree(work / "tmp", ignore_errors=True)
        ingest(config.read, work / "ingest")
        stages = sorted((work / "ingest").glob("stage-*.parquet"))
        curated = curate(stages, config.curate, config.read.exclusion, alphabet=config.read.alphabet,
                         out=work / "curate", threads=config.split.threads)  # fmt: skip
        stages = list(curated.stages)
        sequences, alphabet = _load(stages, config)
        readings = _readings(config, stages)
        split, found, files, rounds = _split_until_clean(
            config.split, work, stages, sequences, alphabet, readings
        )
        manifest = _manifest(config, key, alphabet, read_json(work / "ingest" / "ingest.json"))
        manifest |= _outcome(config.split, split, found, files, rounds)
        _add_curation(manifest, config, curated, readings)
        if purged := sum(manifest["repair"]["rows_purged"].values()):
            manifest["dropped"][PURGE_REASON] = purged
        for entry in manifest["files"]:
            entry["sha256"] = sha256_file(work / entry["name"])
        manifest["fingerprint"] = fingerprint([manifest["build_key"], manifest["files"]])
        write_removed(work, stages, split, curated.removed)
        write_text(work / CARD, dataset_card(manifest))
        write_json(work / MANIFEST, manifest)
    return publish(work, out)


def _readings(config: BuildConfig, stages: list[Path]) -> Readings | None:
    kind = config.curate.augment
    return None if kind == "none" else plan_readings(stages, kind, alphabet=config.read.alphabet)


def _add_curation(
    manifest: dict[str, Any], config: BuildConfig, curated: Curated, readings: Readings | None
) -> None:
    for action, counts in (("dropped", curated.dropped), ("changed", curated.changed)):
        for rule, n in counts.items():
            manifest[action][rule] = manifest[action].get(rule, 0) + n
    for rule, n in (readings.counts() if readings else {}).items():
        manifest["changed"][rule] = n
    denied = curated.info.get("denied_sequences", {}).get("sha256")
    manifest["curate"] = {"config": content_of(config.curate), **curated.info}
    manifest["exclusion"] = exclusion_entry(config.read.exclusion, manifest["dropped"], denied)


def _load(stages: list[Path], config: BuildConfig) -> tuple[pa.ChunkedArray, str]:
    if not stages or not sum(pq.read_metadata(path).num_rows for path in stages):
        raise DataError("no row is left after reading and cleaning")
    tables = [pq.read_table(path, columns=["sequence", "alphabet"]) for path in stages]
    table = pa.concat_tables(tables)
    alphabets = sorted(table["alphabet"].unique().to_pylist())
    if len(alphabets) > 1:
        raise DataError(
            f"rows of several alphabets: {', '.join(alphabets)}", hint="build one dataset of each"
        )
    return normalised(table["sequence"], alphabet=alphabets[0]), alphabets[0]


def _split_until_clean(
    config: SplitConfig,
    work: Path,
    stages: list[Path],
    sequences: pa.ChunkedArray,
    alphabet: str,
    readings: Readings | None,
) -> tuple[Split, Audit, list[dict[str, Any]], int]:
    """Split, write, audit what was written; repair and repeat while the audit finds a leak."""
    split = None
    for number in range(_MOST_ROUNDS):
        state = work / f"split-{number}.npz"
        if (work / f"split-{number + 1}.npz").is_file():
            continue
        if state.is_file():
            split = load_split(state)
        elif split is None:
            with progress("clustering and splitting"):
                split = split_rows(sequences, config, alphabet=alphabet, workdir=work / "tmp")
            save_split(state, split)
        shutil.rmtree(work / DATA, ignore_errors=True)
        files = write_splits(stages, split.cluster, split.split, work / DATA, readings=readings)
        with progress(f"auditing, round {number + 1}"):
            found = _audit_files(config, work, files, _rows_written(split, readings), alphabet)
        if not len(found.leaks.query):
            return split, found, files, number
        split = repair_again(split, found.leaks, config)
        save_split(work / f"split-{number + 1}.npz", split)
    raise SeqloomError(f"similar rows still cross the split after {_MOST_ROUNDS} rounds of repair: "
                       "try --split.repair purge")  # fmt: skip


def _audit_files(
    config: SplitConfig, work: Path, files: list[dict[str, Any]], rows: np.ndarray, alphabet: str
) -> Audit:
    """Audits the Parquet files as they are, and translates row numbers back to those of the input, `rows`."""
    tables = [pq.read_table(work / entry["name"], columns=["sequence"]) for entry in files]
    parts = np.concatenate([np.full(len(table), SPLITS.index(entry["split"]), np.int8)
                            for table, entry in zip(tables, files)])  # fmt: skip
    texts = normalised(pa.concat_tables(tables)["sequence"], alphabet=alphabet)
    found = audit(
        texts,
        parts,
        alphabet=alphabet,
        settings=config.audit_settings(),
        workdir=work / "tmp",
        stop_early=True,
    )
    leaks = Hits(rows[found.leaks.query], rows[found.leaks.target], found.leaks.identity)
    return dataclasses.replace(found, leaks=leaks, leaking_rows=rows[found.leaking_rows])


def _rows_written(split: Split, readings: Readings | None) -> np.ndarray:
    """The input's row number of every row of the files, in their order."""
    rows = np.concatenate([np.flatnonzero(split.split == number) for number in range(len(SPLITS))])
    return rows if readings is None else np.repeat(rows, readings.copies[rows])


def _manifest(config: BuildConfig, key: str, alphabet: str, read: dict[str, Any]) -> dict[str, Any]:
    rules = read.get("rules", {})
    return {
        "schema_version": SCHEMA_VERSION,
        "seqloom_version": biodata.__version__,
        "fingerprint": "",
        "build_key": key,
        "alphabet": alphabet,
        "sources": read.get("sources", []),
        "rows_read": read.get("rows"),
        "dropped": dict(rules.get("dropped", {})),
        "changed": dict(rules.get("changed", {})),
        "read": {k: v for k, v in read.items() if k not in ("sources", "rules")},
        "split_config": _recorded(config.split),
    }


def _outcome(
    config: SplitConfig, split: Split, found: Audit, files: list[dict[str, Any]], rounds: int
) -> dict[str, Any]:
    kept = split.split != PURGED
    rows, purged = len(kept), _purged_by_split(split)
    info = split.info
    repair = {
        "mode": config.repair,
        "method": _repair_method(info, purged),
        "clusters_before": info["clustering"]["clusters"],
        "clusters_after": info["joined"]["clusters"],
        "largest_cluster_before": info["clustering"]["largest_cluster"],
        "largest_cluster_after": info["joined"]["largest_cluster"],
        "largest_component": info["joined"]["largest_component"],
        "largest_component_fraction": round(info["joined"]["largest_component"] / rows, 4),
        "max_component": config.max_component,
        "percolating_components": info["joined"]["percolating_components"],
        "percolating_rows": info["joined"]["percolating_rows"],
        "rows_purged": purged,
        "rounds_after_audit": rounds,
        "plain_split": info["plain"],
        "search": info["search"],
        "explanation": "",
    }
    repair["explanation"] = explain_repair(
        repair, identity=config.identity, coverage=config.coverage, rows=rows
    )
    return {
        "rows": sum(entry["rows"] for entry in files),
        "splits": {name: sum(f["rows"] for f in files if f["split"] == name) for name in SPLITS},
        "clusters": len(np.unique(split.cluster[kept])),
        "clustering": info["clustering"],
        "repair": repair,
        "audit": found.as_dict(),
        "files": files,
    }


def _purged_by_split(split: Split) -> dict[str, int]:
    was = split.assigned[split.split == PURGED]
    return {name: int((was == number).sum()) for number, name in enumerate(SPLITS)}


def _repair_method(info: dict[str, Any], purged: dict[str, int]) -> str:
    merged = info["joined"]["clusters"] < info["clustering"]["clusters"]
    names = [name for name, done in (("merge", merged), ("purge", sum(purged.values()) > 0)) if done]
    return "+".join(names) or "none"
