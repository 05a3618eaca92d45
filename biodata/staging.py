"""The staging folder: shards written unit by unit, so that a killed run goes on where it was.

    stage-00000.parquet ...      rows of `SCHEMA`, in input order
    dropped.parquet              every dropped row; changed.parquet: the listed changes
    ingest.json                  written last: the folder is complete
    .progress/unit-00000.json    a finished unit of input files: its shards, counts and id suffixes
    .progress/unit-00000.parquet the rows that the unit's rules listed

A unit is redone from its start when it was interrupted; its shards have the same names and bytes again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.curate.rules import LISTING_SCHEMA, RuleLog
from biodata.files import atomic_path, read_json, write_json
from biodata.io.parquet import parquet_options
from biodata.schema import SCHEMA

GROUP_BYTES = 16 << 20
"""Bytes of rows that are written as one row group."""
SHARD_BYTES = 256 << 20
"""Bytes of rows after which a new shard begins."""


class Staging:
    """The folder of one ingest; what another ingest left there is removed first.

    Args:
        path: the folder; created if need be. Only files that an ingest writes are ever removed.
        fingerprint: of the configuration and the inputs.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = Path(path)
        self.fingerprint = fingerprint
        self._progress = self.path / ".progress"
        self.work = self._progress / "work"

    def result(self) -> dict[str, Any] | None:
        """`ingest.json` of an earlier, complete ingest of the same inputs and configuration."""
        path = self.path / "ingest.json"
        found = read_json(path) if path.exists() else None
        return found if found and found.get("fingerprint") == self.fingerprint else None

    def prepare(self) -> list[dict[str, Any]]:
        """Makes the folder ready; the finished units of an interrupted run, in order."""
        marker = self._progress / "fingerprint.json"
        if not marker.exists() or read_json(marker) != self.fingerprint:
            self._clear()
            write_json(marker, self.fingerprint)
        (self.path / "ingest.json").unlink(missing_ok=True)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        return [read_json(path) for path in sorted(self._progress.glob("unit-*.json"))]

    @contextmanager
    def listing(self, number: int) -> Iterator[Callable[[RuleLog], None]]:
        """The listing of a unit; the yielded function moves the rows of a log there."""
        part = atomic_path(self._unit(number, "parquet"))
        with part as path, pq.ParquetWriter(path, LISTING_SCHEMA) as writer:
            yield lambda log: writer.write_table(log.take_rows())

    def finish_unit(self, number: int, marker: dict[str, Any]) -> None:
        """Writes the marker of a unit, after its shards and its listing."""
        write_json(self._unit(number, "json"), marker)

    def finish(self, shards: int, last: RuleLog, result: dict[str, Any]) -> None:
        """Writes the listings and `ingest.json`, and removes what a complete folder does not need."""
        self.write_listings(last)
        for path in self.path.glob("stage-*.parquet"):
            if path.name not in {shard_name(i) for i in range(shards)}:
                path.unlink()
        write_json(self.path / "ingest.json", result)
        self.remove_progress()

    def write_listings(self, last: RuleLog) -> None:
        """Writes `dropped.parquet` and `changed.parquet` from the finished units and the rows of `last`."""
        for action in ("dropped", "changed"):
            self._write_listing(action, last)

    def first_dropped(self) -> dict[str, Any] | None:
        """The first row of `dropped.parquet`."""
        first = next(_batches(self.path / "dropped.parquet", None), None)
        return first.slice(0, 1).to_pylist()[0] if first is not None and first.num_rows else None

    def remove_progress(self) -> None:
        """Removes the traces of a run that ended well."""
        shutil.rmtree(self._progress, ignore_errors=True)

    def kept_columns(self, shards: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Columns of the first shards, in order."""
        for i in range(shards):
            yield from _batches(self.path / shard_name(i), columns)

    def listed(self, rule: str) -> dict[str, str]:
        """Id to detail of the rows that a rule listed in the finished units."""
        found: dict[str, str] = {}
        for path in sorted(self._progress.glob("unit-*.json")):
            for batch in _batches(path.with_suffix(".parquet"), ["id", "reason", "detail"]):
                of_rule = batch.filter(pc.call_function("equal", [batch["reason"], pa.scalar(rule)]))
                found.update(zip(of_rule["id"].to_pylist(), of_rule["detail"].to_pylist()))
        return found

    def _unit(self, number: int, suffix: str) -> Path:
        return self._progress / f"unit-{number:05d}.{suffix}"

    def _clear(self) -> None:
        shutil.rmtree(self._progress, ignore_errors=True)
        for pattern in ("stage-*.parquet", "dropped.parquet", "changed.parquet", "ingest.json"):
            for path in self.path.glob(pattern):
                path.unlink()

    def _write_listing(self, action: str, last: RuleLog) -> None:
        mine = pa.scalar(action)
        schema = LISTING_SCHEMA
        with atomic_path(self.path / f"{action}.parquet") as part, pq.ParquetWriter(part, schema) as writer:
            for path in sorted(self._progress.glob("unit-*.parquet")):
                for batch in _batches(path, None):
                    writer.write_batch(batch.filter(pc.call_function("equal", [batch["action"], mine])))
            writer.write_table(last.table(action))


def _batches(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(columns=columns)


def shard_name(number: int) -> str:
    """`stage-00000.parquet`, ..."""
    return f"stage-{number:05d}.parquet"


class ShardWriter:
    """Writes the rows of one unit to shards; each takes its name when it is whole.

    Args:
        folder: where shards go.
        first: number of the unit's first shard.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.folder, self.next = folder, first
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = self._shard_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._shard = ExitStack()

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes rows of `SCHEMA`."""
        if not batch.num_rows:
            return
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= GROUP_BYTES:
            self._write_group()
        if self._shard_bytes >= SHARD_BYTES:
            self._end_shard()

    def _write_group(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            part = self._shard.enter_context(atomic_path(self.folder / shard_name(self.next)))
            self._writer = pq.ParquetWriter(part, SCHEMA, **parquet_options(SCHEMA, temporary=True))
        table = pa.Table.from_batches(self._pending, schema=SCHEMA)
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._shard_bytes += self._pending_bytes
        is_huge, self._pending, self._pending_bytes = self._pending_bytes > 4 * GROUP_BYTES, [], 0
        if is_huge:  # a chromosome: writing it takes three times its length
            pa.default_memory_pool().release_unused()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._shard.close()
            self.next += 1
            self._shard_bytes = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_group()
            self._end_shard()
            return
        if self._writer is not None:
            self._writer.close()
        self._shard.__exit__(kind, error, trace)  # leaves no file
