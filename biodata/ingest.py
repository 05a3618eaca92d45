"""Archive files to clean, unique rows of `SCHEMA`: read, cut, clean, check, deduplicate, label - all counted.

The way of a batch: reader -> (CDS cut from records) -> letters -> (reading frames) -> lengths -> exact
duplicates -> ids -> labels -> shards. Batches stream, so memory does not grow with the input; FASTA stays
columnar from the file to the shard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import biodata
from biodata.curate.cds import check_frames, extract_cds
from biodata.curate.dedupe import Deduper
from biodata.curate.ids import UniqueIds
from biodata.curate.labels import LabelTable
from biodata.curate.letters import clean_letters
from biodata.curate.rules import RuleLog
from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint, sha256_file
from biodata.io import READERS
from biodata.progress import progress
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA, SCHEMA_VERSION
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
                    self._unit(number, files, _Seen(deduper, ids), counts)
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
        what, where = f"no row is left: {_counted(log)}", ", ".join(self.config.inputs)
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
        for batch in self.staging.kept_columns(self.shards, ["id", "checksum"]):
            deduper.restore(batch["checksum"], batch["id"])
            ids.restore(batch["id"], {})

    def _unit(self, number: int, files: list[SourceFile], seen: _Seen, counts: RuleLog) -> None:
        log, rows, sources = RuleLog(), 0, []
        listing, shards = self.staging.listing(number), ShardWriter(self.staging.path, self.shards)
        with listing as move_rows, shards as writer:
            for file in files:
                log.file = file.name
                if self._is_bad(file, log):
                    continue
                steps = _Steps(self.config, file, log, seen, self.labels)
                for batch in steps.batches():
                    writer.write(batch)
                    rows += batch.num_rows
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


@dataclass(frozen=True, slots=True)
class _Seen:
    deduper: Deduper
    ids: UniqueIds


class _Steps:
    """The way of one file's batches."""

    def __init__(
        self, config: ReadConfig, file: SourceFile, log: RuleLog, seen: _Seen, labels: LabelTable | None
    ) -> None:
        self.config, self.file, self.log, self.seen, self.labels = config, file, log, seen, labels
        self.records = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows of `SCHEMA`."""
        reader = READERS.load(self.file.format)
        for batch in reader(self.file.path, log=self.log, alphabet=self.config.alphabet):
            self.records += batch.num_rows
            batch = self._curated(batch)
            batch, checksums = self.seen.deduper.unique(batch, self.log)
            yield self._assembled(batch, checksums)

    def _curated(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        config, policy = self.config, self.config.letters
        annotated = batch["features"].null_count < batch.num_rows
        if annotated and config.take == "cds":
            batch = extract_cds(batch, log=self.log)
        elif annotated:
            # removing letters would move every feature behind them
            drop = {name: "drop" for name in ("gaps", "blanks") if getattr(policy, name) == "remove"}
            policy = dataclasses.replace(policy, **drop)
        batch = clean_letters(batch, alphabet=config.alphabet, policy=policy, log=self.log)
        if config.take == "cds":
            batch = check_frames(batch, policy=config.cds, log=self.log, transl_table=config.transl_table)
        return self._of_length(batch)

    def _of_length(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        lengths = _lengths(batch)
        most = self.config.max_length or np.iinfo(np.int64).max
        for reason, broken in (("too-short", lengths < self.config.min_length), ("too-long", lengths > most)):
            if broken.any():
                rows = pa.array(broken)
                self.log.drop(reason, batch["id"].filter(rows), lines=batch["line"].filter(rows),
                              detail=[f"length {n}" for n in lengths[broken]])  # fmt: skip
        kept = (lengths >= self.config.min_length) & (lengths <= most)
        return batch if kept.all() else batch.filter(pa.array(kept))

    def _assembled(self, batch: pa.RecordBatch, checksums: pa.Array) -> pa.RecordBatch:
        n = batch.num_rows
        columns = {name: batch[name] for name in batch.schema.names if name in SCHEMA.names}
        columns["labels"] = self._labels(batch["id"])
        columns |= {
            "id": self.seen.ids.unique(batch, self.log),
            "alphabet": pa.repeat(pa.scalar(self.config.alphabet), n),
            "length": pa.array(_lengths(batch)),
            "source": self._source(batch),
            "checksum": checksums,
        }
        arrays = [columns.get(f.name, None) for f in SCHEMA]
        filled = [pa.nulls(n, f.type) if a is None else a for a, f in zip(arrays, SCHEMA)]
        return pa.record_batch(filled, schema=SCHEMA)

    def _source(self, batch: pa.RecordBatch) -> pa.Array:
        name = pa.repeat(pa.scalar(self.file.name), batch.num_rows)
        if "record" not in batch.schema.names:
            return name
        return pc.call_function("binary_join_element_wise", [name, batch["record"], pa.scalar(":")])

    def _labels(self, ids: pa.Array) -> pa.Array:
        if self.labels is None:
            return pa.nulls(len(ids), SCHEMA.field("labels").type)
        found = self.labels.of(ids)
        none = pc.call_function("equal", [pc.call_function("list_value_length", [found]), pa.scalar(0)])
        if missing := none.true_count:
            self.log.change("record-without-label", missing)
        return found


def _lengths(batch: pa.RecordBatch) -> Any:
    return pc.call_function("binary_length", [batch["sequence"]]).to_numpy(zero_copy_only=False)
