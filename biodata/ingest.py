"""Archive files to clean, unique rows of `SCHEMA`: read, cut, clean, check, deduplicate, label - all counted.

The way of a batch: reader -> (CDS cut from records) -> letters -> (reading frames) -> lengths -> exact
duplicates -> ids -> labels -> shards. Batches stream, so memory does not grow with the input; FASTA stays
columnar from the file to the shard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

import biodata
from biodata.curate.dedupe import Deduper
from biodata.curate.ids import MADE_UNIQUE, UniqueIds
from biodata.curate.labels import LabelTable
from biodata.curate.rules import RuleLog
from biodata.curate.steps import FileSteps, Seen
from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint, sha256_file
from biodata.io import READERS
from biodata.progress import progress
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA_VERSION
from biodata.sources.local import SourceFile, find_files
from biodata.staging import ShardWriter, Staging, shard_name

UNIT_BYTES = 64 << 20
"""Input files are taken together until they have this many bytes; then progress is recorded."""
LISTED_ROWS = 1 << 16
"""Listed rows that are held in memory."""


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


def ingest(config: ReadConfig, out: Path) -> IngestResult:
    """Reads all inputs into the staging folder `out` (layout: `biodata.staging`).

    Does nothing when `out` already holds the result of equal inputs and configuration, and goes on after the
    last finished unit when an earlier run was killed; the bytes are the same in every case.

    Raises:
        ConfigError: no inputs, or one that does not exist.
        DataError: a file that cannot be read, labels that fit nothing, or no row left, with the reasons.
    """
    if not config.inputs:
        raise ConfigError("inputs is empty, allowed: files, folders or patterns")
    log = RuleLog()
    files = find_files(config.inputs, log=log, drop_bad=config.on_bad_file == "drop")
    if not files:
        raise DataError(f"nothing to read in {', '.join(config.inputs)}: {_counted(log)}")
    staging = Staging(out, _fingerprint(config, files, log))
    found = staging.result()
    if found is None:
        found = _Ingest(config, files, staging).run(log)
    else:
        staging.remove_progress()
    shards = tuple(staging.path / shard_name(i) for i in range(found["shards"]))
    return IngestResult(
        path=staging.path, rows=found["rows"], shards=shards, sources=tuple(found["sources"]),
        rules=found["rules"], fingerprint=found["fingerprint"],
    )  # fmt: skip


def _fingerprint(config: ReadConfig, files: list[SourceFile], log: RuleLog) -> str:
    settings = dataclasses.asdict(config)
    del settings["inputs"], settings["labels"]
    labels = None
    if config.labels is not None:
        if not Path(config.labels).is_file():
            raise ConfigError(f"labels is {str(config.labels)!r}: no such file")
        labels = sha256_file(config.labels)
    return fingerprint({"config": settings, "labels": labels, "sources": [f.as_dict() for f in files],
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
        self.config, self.files, self.staging = config, files, staging
        self.labels = LabelTable(Path(config.labels)) if config.labels is not None else None
        self.rows = self.shards = 0
        self.sources: list[dict[str, Any]] = []

    def run(self, log: RuleLog) -> dict[str, Any]:
        """Reads what is not read yet; `log` holds what was left out before."""
        finished = self.staging.prepare()
        folder = self.staging.work / "ids"
        folder.mkdir()
        total = sum(f.size for f in self.files)
        counts = RuleLog()
        with Deduper(self.staging.work) as deduper, progress("reading", total, unit="B") as advance:
            ids = UniqueIds(folder)
            self._restore(finished, deduper, ids, counts)
            for number, files in enumerate(_units(self.files)):
                if number >= len(finished):
                    self._unit(number, files, Seen(deduper, ids), counts)
                advance(sum(f.size for f in files))
            ids.close()
        log.add_counts(counts.as_dict())
        self._check_labels(log)
        if not self.rows:
            raise self._nothing_left(log)
        result = {"rows": self.rows, "shards": self.shards, "alphabet": self.config.alphabet,
                  "take": self.config.take, "sources": self.sources, "rules": log.as_dict(),
                  "fingerprint": self.staging.fingerprint}  # fmt: skip
        self.staging.finish(self.shards, log, result)
        return result

    def _nothing_left(self, log: RuleLog) -> DataError:
        self.staging.write_listings(log)
        what = f"no row is left (alphabet {self.config.alphabet}): {_counted(log)}"
        where = ", ".join(self.config.inputs)
        if first := self.staging.first_dropped():
            where = f"{first['file']}:{first['line']}" if first["line"] else first["file"]
            what += f"; first: {first['id'] or 'file'}: {first['detail'] or first['reason']}"
        return DataError(what, where=where, hint=f"all are listed in {self.staging.path / 'dropped.parquet'}")

    def _restore(
        self, finished: list[dict[str, Any]], deduper: Deduper, ids: UniqueIds, log: RuleLog
    ) -> None:
        for marker in finished:
            self.rows, self.shards = self.rows + marker["rows"], marker["shards"]
            self.sources += marker["sources"]
            log.add_counts(marker["rules"])
            ids.restore(pa.array([], pa.string()), marker["suffixes"])
        old = self.staging.listed(MADE_UNIQUE)
        for batch in self.staging.kept_columns(self.shards, ["id", "checksum"]):
            names = [old.get(id, id) for id in batch["id"].to_pylist()] if old else batch["id"]
            deduper.restore(batch["checksum"], pa.array(names, pa.string()))
            ids.restore(batch["id"], {})

    def _unit(self, number: int, files: list[SourceFile], seen: Seen, counts: RuleLog) -> None:
        log, rows, sources = RuleLog(), 0, []
        listing, shards = self.staging.listing(number), ShardWriter(self.staging.path, self.shards)
        with listing as move_rows, shards as writer:
            for file in files:
                log.file = file.name
                if self._is_bad(file, log):
                    continue
                steps = FileSteps(self.config, file, log, seen, self.labels)
                for batch in steps.batches():
                    writer.write(batch)
                    rows += batch.num_rows
                    del batch
                    if log.listed >= LISTED_ROWS:
                        move_rows(log)
                sources.append({**file.as_dict(), "records": steps.records})
            move_rows(log)
        self.rows, self.shards, self.sources = self.rows + rows, writer.next, self.sources + sources
        marker = {"rows": rows, "shards": self.shards, "sources": sources, "rules": log.as_dict(),
                  "suffixes": seen.ids.take_suffixes()}  # fmt: skip
        counts.add_counts(marker["rules"])
        self.staging.finish_unit(number, marker)

    def _is_bad(self, file: SourceFile, log: RuleLog) -> bool:
        """Reads a file to its end beforehand, so that one that breaks off leaves no rows."""
        if self.config.on_bad_file == "error":
            return False
        try:
            for _ in READERS.load(file.format)(file.path, log=RuleLog(), alphabet=self.config.alphabet):
                pass
        except DataError as error:
            log.drop("bad-file", None, detail=str(error).removeprefix(f"{file.path}: "))
            return True
        return False

    def _check_labels(self, log: RuleLog) -> None:
        if self.labels is None:
            return
        for batch in self.staging.kept_columns(self.shards, ["id"]):
            self.labels.of(batch["id"])
        left = self.labels.unmatched()
        if len(left) == len(self.labels.ids):
            first = self.labels.ids[0].as_py() if len(left) else None
            raise DataError(f"no label fits any record, the first is for {first!r}", where=self.config.labels,
                            hint="ids must equal those of the records")  # fmt: skip
        if len(left):
            log.file = Path(str(self.config.labels)).name
            log.change("label-without-record", ids=left, detail="no kept record has this id")
