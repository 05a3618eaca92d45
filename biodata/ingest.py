"""Archive files to clean, unique rows of `SCHEMA`: read, cut, clean, check, deduplicate, label - all counted.

Files are read in units, each of which is worked on anywhere: reader -> (CDS cut from records) -> letters ->
(reading frames) -> lengths -> labels -> shards. Then the units are joined in input order: exact duplicates,
ids. Batches stream, so memory does not grow with the input; FASTA stays columnar from the file to the shard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import biodata
from biodata.config_content import content_of
from biodata.curate.rules import RuleLog
from biodata.engine import in_order
from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint, read_json
from biodata.merge import Merge
from biodata.progress import progress
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA_VERSION
from biodata.sources.local import SourceFile, find_files
from biodata.staging import Staging, shard_name
from biodata.units import Unit, apply_edits, read_unit

if TYPE_CHECKING:
    from biodata.curate.labels import LabelTable

UNIT_BYTES = 64 << 20
"""Input files are taken together until they have this many bytes."""


__all__ = ["IngestResult", "ReadConfig", "ingest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """What an ingest left behind.

    Attributes:
        path: the staging folder.
        rows: number of rows in all shards.
        shards: the Parquet files, in order.
        sources: name, size, sha256, format and records read of each input file.
        rules: `{"dropped": {reason: n}, "changed": {rule: n}}`.
        fingerprint: of configuration and inputs; equal ones give equal bytes.
    """

    path: Path
    rows: int
    shards: tuple[Path, ...]
    sources: tuple[dict[str, Any], ...]
    rules: Mapping[str, Mapping[str, int]]
    fingerprint: str


def ingest(config: ReadConfig, out: Path, *, executor: Executor | None = None) -> IngestResult:
    """Reads all inputs into the staging folder `out` (layout: `biodata.staging`).

    Does nothing when `out` already holds the result of equal inputs and configuration, and keeps the finished
    units when an earlier run was killed; the bytes are the same in every case, whatever the executor.

    Args:
        executor: where units are read (`biodata.engine`); None for this process.

    Raises:
        ConfigError: no inputs, or one that does not exist.
        DataError: a file that cannot be read, labels that fit nothing, or no row left, with the reasons.
    """
    if not config.inputs:
        raise ConfigError("inputs is empty, allowed: files, folders or patterns")
    log = RuleLog()
    columns = (config.sequence_column,) if config.sequence_column else ()
    files = find_files(config.inputs, log=log, drop_bad=config.on_bad_file == "drop", columns=columns)
    if not files:
        raise DataError(f"nothing to read in {', '.join(config.inputs)}: {_counted(log)}")
    staging = Staging(out, _fingerprint(config, files, log))
    found = staging.result()
    if found is None:
        found = _Ingest(config, files, staging).run(log, executor)
    else:
        staging.remove_progress()
    shards = tuple(staging.path / shard_name(i) for i in range(found["shards"]))
    return IngestResult(
        path=staging.path, rows=found["rows"], shards=shards, sources=tuple(found["sources"]),
        rules=found["rules"], fingerprint=found["fingerprint"],
    )  # fmt: skip


def _fingerprint(config: ReadConfig, files: list[SourceFile], log: RuleLog) -> str:
    settings = content_of(config)
    del settings["inputs"]
    if config.exclusion.exclude:
        from biodata.curate.exclusion import exclusion_rules

        settings["exclusion_rules"] = exclusion_rules().sha256
    return fingerprint({"config": settings, "sources": [f.as_dict() for f in files],
                        "left_out": log.as_dict(), "schema": SCHEMA_VERSION,
                        "versions": [biodata.__version__, pa.__version__]})  # fmt: skip


def _units(files: list[SourceFile]) -> list[list[SourceFile]]:
    units: list[list[SourceFile]] = [[]]
    for file in files:
        if sum(f.size for f in units[-1]) >= UNIT_BYTES:
            units.append([])
        units[-1].append(file)
    return units


def _counted(log: RuleLog) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in log.as_dict()["dropped"].items()) or "no records"


class _Ingest:
    """One run over the files of a plan."""

    def __init__(self, config: ReadConfig, files: list[SourceFile], staging: Staging) -> None:
        self.config, self.staging = config, staging
        self.labels: LabelTable | None = None
        if config.labels is not None:
            from biodata.curate.labels import LabelTable

            self.labels = LabelTable(Path(config.labels), windows=config.windows.window > 0)
        files = [dataclasses.replace(file, path=file.path.absolute()) for file in files]
        read = config
        if config.labels is not None:
            read = dataclasses.replace(config, labels=Path(config.labels).absolute())
        self.units = [
            Unit(folder=staging.progress.absolute(), number=number, files=tuple(part), config=read)
            for number, part in enumerate(_units(files))
        ]

    def run(self, log: RuleLog, executor: Executor | None) -> dict[str, Any]:
        """Reads what is not read yet; `log` holds what was left out before."""
        self.staging.prepare()
        counts = self._read(executor)
        merge = Merge(self.staging.work, self.labels)
        with progress("removing duplicates", len(self.units)) as advance:
            edited = []
            for has_edits in merge.edit(list(zip(self.units, counts))):
                edited.append(has_edits)
                advance(1)
        for found in (*(c["rules"] for c in counts), merge.counts.as_dict()):
            log.add_counts(found)
        merge.check_labels(self.config.labels, log)
        listings = [unit.path / name for unit in self.units for name in ("listing.parquet", "merged.parquet")]
        if not merge.rows:
            raise self._nothing_left(listings, log)
        changed = [unit for unit, has_edits in zip(self.units, edited) if has_edits]
        with progress("applying", len(changed)) as advance:
            for _ in in_order(executor, apply_edits, [u for u in changed if not _is_done(u.path / "kept")]):
                advance(1)
        shards = self.staging.place_shards(self._shards(edited))
        sources = [source for c in counts for source in c["sources"]]
        result = {"rows": merge.rows, "shards": shards, "alphabet": self.config.alphabet,
                  "take": self.config.take, "sources": sources, "rules": log.as_dict(),
                  "fingerprint": self.staging.fingerprint}  # fmt: skip
        self.staging.finish(listings, log, result)
        return result

    def _read(self, executor: Executor | None) -> list[dict[str, Any]]:
        """The counts of every unit."""
        left = [unit for unit in self.units if not _is_done(unit.path)]
        total = sum(file.size for unit in left for file in unit.files)
        with progress("reading", total, unit="B") as advance:
            for unit, _ in zip(left, in_order(executor, read_unit, left)):
                advance(sum(file.size for file in unit.files))
        return [read_json(unit.path / "unit.json") for unit in self.units]

    def _shards(self, edited: list[bool]) -> Iterator[Path]:
        for unit, has_edits in zip(self.units, edited):
            folder = unit.path / "kept" if has_edits else unit.path
            for number in range(read_json(folder / "unit.json")["shards"]):
                yield folder / shard_name(number)

    def _nothing_left(self, listings: list[Path], log: RuleLog) -> DataError:
        self.staging.write_listings(listings, log)
        what = f"no row is left (alphabet {self.config.alphabet}): {_counted(log)}"
        where = ", ".join(self.config.inputs)
        if first := self.staging.first_dropped():
            where = f"{first['file']}:{first['line']}" if first["line"] else first["file"]
            what += f"; first: {first['id'] or 'file'}: {first['detail'] or first['reason']}"
        return DataError(what, where=where, hint=f"all are listed in {self.staging.path / 'dropped.parquet'}")


def _is_done(folder: Path) -> bool:
    return (folder / "unit.json").is_file()
