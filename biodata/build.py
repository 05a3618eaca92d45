"""Files in, verified dataset out: ingest, cluster, split, repair, write, audit, manifest last.

Everything happens in `DIR/.build`, keyed by a fingerprint of configuration, inputs and versions, and moves to
its place when it is done. Finished steps are kept: a build that was killed goes on where it was and ends with
the same bytes.
"""

from __future__ import annotations

import dataclasses
import shutil
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

import biodata
from biodata.card import dataset_card, explain_repair
from biodata.config_content import content_of
from biodata.curate.config import CurateConfig
from biodata.curate.exclusion import exclusion_entry
from biodata.curate.reverse import Readings, check_kind, plan_readings
from biodata.curate.stage import Curated, curate
from biodata.dataset import CARD, MANIFEST, is_dataset, open_dataset
from biodata.engine import EngineConfig, running
from biodata.errors import ConfigError, InterruptedRunError
from biodata.fetch.origin import Origins
from biodata.fetch.resolve import resolved
from biodata.files import fingerprint, read_json, sha256_file, write_json, write_text
from biodata.folders import check_apart, check_target, locked
from biodata.ingest import ReadConfig, ingest
from biodata.io.detect import expand_inputs
from biodata.mmseqs import find_mmseqs
from biodata.progress import say
from biodata.publish import PURGE_REASON, publish, write_removed
from biodata.rounds import open_rows, split_until_clean
from biodata.schema import SCHEMA_VERSION, SPLITS
from biodata.splits.audit import Audit
from biodata.splits.split import PURGED, Split, SplitConfig
from biodata.storage import storage_errors


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
    engine: Literal["local", "dask"] = field(
        default="local", metadata={"help": "where shards are worked on: processes here, or Dask workers"}
    )
    scheduler: str = field(
        default="", metadata={"help": "engine dask: address of a scheduler; without it workers start here"}
    )

    def __post_init__(self) -> None:
        check_kind(self.curate.augment, self.read.alphabet)
        self.engine_config()

    def engine_config(self) -> EngineConfig:
        """Where the work is done; changes no byte of the result."""
        return EngineConfig(engine=self.engine, scheduler=self.scheduler, workers=self.split.threads)


def build_dataset(config: BuildConfig, out: Path) -> dict[str, Any]:
    """Builds a dataset folder, or returns at once if it is there already.

    Returns:
        The fields of `seqloom data build`.

    Raises:
        ConfigError: the folder holds something else.
        DataError: the input cannot be read or split as asked.
        InterruptedRunError: stopped by Ctrl-C; the same call goes on.
        SeqloomError: the disk is full, the folder is read-only, another build is at work in it.
    """
    with storage_errors(Path(out)):
        return _build_in(config, Path(out))


def _build_in(config: BuildConfig, out: Path) -> dict[str, Any]:
    check_target(out, finished=is_dataset(out))
    check_apart(config.read.inputs, out)
    config = dataclasses.replace(config, read=resolved(config.read))
    key = build_key(config)
    try:
        with locked(out) as work:
            manifest = _finished(config, out, key)
            if manifest is None:
                _discard_others(work, key)
                with running(config.engine_config()) as executor:
                    manifest = _build(config, out, work / key[:16], key, executor)
            shutil.rmtree(work, ignore_errors=True)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; what is finished is kept in {out}: run the same command again to go on"
        ) from None
    return summary(manifest, out)


def summary(manifest: dict[str, Any], out: Path) -> dict[str, Any]:
    """The fields of `seqloom data build` from a manifest."""
    names = ("rows", "splits", "clusters", "dropped", "changed", "audit", "repair", "fingerprint")
    return {"path": str(out)} | {name: manifest[name] for name in names}


def build_key(config: BuildConfig) -> str:
    """Fingerprint of all that decides the bytes of a dataset; file contents, not their places."""
    origins = Origins()
    hashed = [(path, sha256_file(path)) for path in expand_inputs(config.read.inputs)]
    files = [[p.name, found, bool(origins.of(p, sha256=found).get("accessions"))] for p, found in hashed]
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
        say(f"{out} holds this dataset already: nothing was done")
        return dataset.manifest
    if not config.overwrite:
        raise ConfigError(f"{out} holds another dataset (other input or settings): "
                          "use another --out, or --overwrite to replace it")  # fmt: skip
    return None


def _discard_others(work: Path, key: str) -> None:
    for path in work.iterdir():
        if path.is_dir() and path.name != key[:16]:
            shutil.rmtree(path, ignore_errors=True)


def _build(config: BuildConfig, out: Path, work: Path, key: str, executor: Executor) -> dict[str, Any]:
    if not (work / MANIFEST).is_file():
        shutil.rmtree(work / "tmp", ignore_errors=True)
        stages = list(ingest(config.read, work / "ingest", executor=executor).shards)
        curated = curate(stages, config.curate, config.read.exclusion, alphabet=config.read.alphabet,
                         out=work / "curate", threads=config.split.threads)  # fmt: skip
        stages = list(curated.stages)
        rows, alphabet = open_rows(stages, config.split, work, executor)
        readings = _readings(config, stages)
        split, found, files, rounds = split_until_clean(rows, stages, work, readings)
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
    manifest["exclusion"] = exclusion_entry(
        config.read.exclusion, manifest["dropped"], denied, alphabet=config.read.alphabet
    )


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
        "split_by": info["clustering"]["method"],
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
