"""The staging folder: units read one by one, then joined, so that a killed run goes on where it was.

    stage-00000.parquet ...      rows of `SCHEMA`, in input order
    dropped.parquet              every dropped row; changed.parquet: the listed changes
    ingest.json                  written last: the folder is complete
    .progress/unit-00000/        a finished unit of input files (`biodata.units`)

What was interrupted is redone from its start; its files have the same names and bytes again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.arrays import arrow_text
from biodata.curate.rules import LISTING_SCHEMA, RuleLog
from biodata.files import atomic_path, read_json, write_json
from biodata.io.parquet import parquet_options
from biodata.io.pieces import PieceFile
from biodata.schema import SCHEMA

GROUP_BYTES = 16 << 20
"""Bytes of rows that are written as one row group."""
SHARD_BYTES = 256 << 20
"""Bytes of rows after which a new shard begins."""
_SHORT = 4096
"""Bytes a row, on average, up to which rows are many and short."""
_LONG_GROUPS = 4
"""Row groups of as many times `GROUP_BYTES` hold a chromosome, and lie in shards of their own."""


class Staging:
    """The folder of one ingest; what another ingest left there is removed first.

    Args:
        path: the folder; created if need be. Only files that an ingest writes are ever removed.
        fingerprint: of the configuration and the inputs.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = Path(path)
        self.fingerprint = fingerprint
        self.progress = self.path / ".progress"
        self.work = self.progress / "work"

    def result(self) -> dict[str, Any] | None:
        """`ingest.json` of an earlier, complete ingest of the same inputs and configuration."""
        path = self.path / "ingest.json"
        found = read_json(path) if path.exists() else None
        return found if found and found.get("fingerprint") == self.fingerprint else None

    def prepare(self) -> None:
        """Makes the folder ready; keeps the finished units of an interrupted run."""
        marker = self.progress / "fingerprint.json"
        if not marker.exists() or read_json(marker) != self.fingerprint:
            self._clear()
            write_json(marker, self.fingerprint)
        (self.path / "ingest.json").unlink(missing_ok=True)
        for left in [self.work, *self.progress.glob("attempt-*"), *self.progress.glob("*/attempt-*")]:
            shutil.rmtree(left, ignore_errors=True)
        self.work.mkdir(parents=True)

    def place_shards(self, sources: Iterable[Path]) -> int:
        """Moves shards here under their final names; goes on where a killed run stopped. Their number."""
        count = 0
        for source in sources:
            target = self.path / shard_name(count)
            if source.exists() or not target.exists():
                os.replace(source, target)
            count += 1
        return count

    def finish(self, listings: Sequence[Path], last: RuleLog, result: dict[str, Any]) -> None:
        """Writes the listings and `ingest.json`, and removes what a complete folder does not need.

        Args:
            listings: what each unit dropped and changed, in input order.
            last: what joining the units dropped and changed.
            result: content of `ingest.json`.
        """
        self.write_listings(listings, last)
        for path in self.path.glob("stage-*.parquet"):
            if path.name not in {shard_name(i) for i in range(result["shards"])}:
                path.unlink()
        write_json(self.path / "ingest.json", result)
        self.remove_progress()

    def write_listings(self, listings: Sequence[Path], last: RuleLog) -> None:
        """Writes `dropped.parquet` and `changed.parquet` from the listings and the rows of `last`."""
        for action in ("dropped", "changed"):
            self._write_listing(action, listings, last)

    def first_dropped(self) -> dict[str, Any] | None:
        """The first row of `dropped.parquet`."""
        first = next(batches_of(self.path / "dropped.parquet"), None)
        return first.slice(0, 1).to_pylist()[0] if first is not None and first.num_rows else None

    def remove_progress(self) -> None:
        """Removes the traces of a run that ended well."""
        shutil.rmtree(self.progress, ignore_errors=True)

    def _clear(self) -> None:
        shutil.rmtree(self.progress, ignore_errors=True)
        for pattern in ("stage-*.parquet", "dropped.parquet", "changed.parquet", "ingest.json"):
            for path in self.path.glob(pattern):
                path.unlink()

    def _write_listing(self, action: str, listings: Sequence[Path], last: RuleLog) -> None:
        mine = arrow_text(action)
        schema = LISTING_SCHEMA
        with atomic_path(self.path / f"{action}.parquet") as part, pq.ParquetWriter(part, schema) as writer:
            for path in listings:
                for batch in batches_of(path):
                    writer.write_batch(batch.filter(pc.call_function("equal", [batch["action"], mine])))
            writer.write_table(last.table(action))


def batches_of(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, all columns or some, a batch at a time."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(columns=columns)


def batches_of_shard(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a shard; a chromosome is held once, not also as the pages it was read from."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        groups = range(file.num_row_groups)
        if not any(_is_long(file.metadata.row_group(number).total_byte_size) for number in groups):
            yield from file.iter_batches()
            return
        for number in groups:
            # the memory of other threads could not be given back from here
            batches = file.read_row_group(number, use_threads=False).to_batches()
            pa.default_memory_pool().release_unused()
            while batches:
                yield batches.pop(0)


def _is_long(size: int) -> bool:
    return size > _LONG_GROUPS * GROUP_BYTES


def shard_name(number: int) -> str:
    """`stage-00000.parquet`, ..."""
    return f"stage-{number:05d}.parquet"


class ShardWriter:
    """Writes the rows of one unit to shards; each takes its name when it is whole.

    A row group is written while the rows of the next are read: a third of the time of reading genomes. A
    failure to write is raised by the next call. A chromosome is waited for, since two at a time are one too
    many; and so are many short rows, since Python's share of the work on those, one thread at a time, leaves
    little to gain and costs a tenth more processor time.

    Args:
        folder: where shards go.
        first: number of the unit's first shard.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.folder, self.next = folder, first
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = self._shard_bytes = 0
        self._is_long = False
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1, "shard-writer")
        self._writing: Future[None] | None = None
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
        is_long = _is_long(self._pending_bytes)
        if is_long != self._is_long:
            self._end_shard()
            self._is_long = is_long
        if self._writer is None:
            part = self._shard.enter_context(atomic_path(self.folder / shard_name(self.next)))
            options = parquet_options(SCHEMA, temporary=True, long=is_long)
            if not is_long and self._pending[0]["alphabet"][0].as_py() == "protein":
                options["compression"]["sequence"] = "none"  # in which snappy finds nothing to pack
            file = self._shard.enter_context(PieceFile(part, "wb"))
            self._writer = pq.ParquetWriter(file, SCHEMA, **options)
        self._wait()
        table = pa.Table.from_batches(self._pending, schema=SCHEMA)
        size = max(table.num_rows, 1)
        are_short = self._pending_bytes < _SHORT * size
        self._shard_bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        if not is_long and not are_short:
            self._writing = self._thread.submit(self._writer.write_table, table, row_group_size=size)
            return
        self._writer.write_table(table, row_group_size=size)
        if is_long:  # what writing took is more than the chromosome
            del table
            pa.default_memory_pool().release_unused()

    def _wait(self) -> None:
        """Until the last row group is in the file; raises what went wrong there."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._wait()
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
        with self._thread:
            if kind is None:
                self._write_group()
                self._end_shard()
                return
        if self._writer is not None:
            self._writer.close()
        self._shard.__exit__(kind, error, trace)  # leaves no file
