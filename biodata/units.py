"""One unit of input files to clean rows on disk, whichever machine does it.

A unit knows nothing of any other: what depends on earlier rows (duplicates, ids that repeat) is decided
afterwards, in input order, by `biodata.merge`. So units may run anywhere and in any order, twice too, and the
bytes are the same. An attempt writes to a folder of its own, which takes the unit's name when it is whole.

    unit-00000/stage-00000.parquet ...   rows of `SCHEMA`, in input order
    unit-00000/rows.parquet              id, line, digest, accession of each row: all that the merge looks at
    unit-00000/listing.parquet           rows that rules dropped or changed
    unit-00000/unit.json                 counts
    unit-00000/edits.parquet             the merge's verdict: rows that go, ids that change
    unit-00000/kept/stage-00000.parquet  the rows after it, where it changed anything
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.curate.accessions import accession_column
from biodata.curate.dedupe import Digests
from biodata.curate.rules import LISTING_SCHEMA, RuleLog
from biodata.curate.steps import FileSteps
from biodata.errors import DataError
from biodata.files import read_json, sync, write_json
from biodata.io import open_records
from biodata.io.pieces import PieceFile
from biodata.read_config import ReadConfig
from biodata.sources.local import SourceFile
from biodata.staging import ShardWriter, batches_of_shard, shard_name

if TYPE_CHECKING:
    from biodata.curate.labels import LabelTable

LISTED_ROWS = 1 << 16
"""Listed rows that are held in memory."""
ROWS_SCHEMA = pa.schema(
    [("id", pa.string()), ("line", pa.int64()), ("digest", pa.binary(16)), ("accession", pa.string())]
)
EDITS_SCHEMA = pa.schema([("row", pa.int64()), ("id", pa.string())])
"""A row's number in its unit, and its new id; null where the row goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Input files that are read together.

    Attributes:
        folder: where units are; on a cluster a folder that every machine sees under this path.
        number: 0, 1, ... in input order.
        files: with absolute paths.
        config: what is read and kept.
    """

    folder: Path
    number: int
    files: tuple[SourceFile, ...]
    config: ReadConfig

    @property
    def path(self) -> Path:
        """The unit's folder, there when the unit is finished."""
        return self.folder / f"unit-{self.number:05d}"


def read_unit(unit: Unit) -> dict[str, Any]:
    """Reads and curates the files of a unit; its counts (`rows`, `shards`, `sources`, `rules`, and
    `files`: name and rows of each).

    Raises:
        DataError: a file that cannot be read, if that is not to be counted only.
    """
    with _attempt(unit.path) as part:
        log, sources, names = RuleLog(), [], []
        with _listing(part / "listing.parquet", log) as flush, _Rows(part) as rows:
            for file in unit.files:
                log.file = file.name
                if _is_bad(file, unit.config, log):
                    continue
                steps = FileSteps(unit.config, file, log, _label_table(unit.config))
                before = rows.count
                for batch, lines, found in steps.batches():
                    rows.write(batch, lines, found, file)
                    del batch
                    if log.listed >= LISTED_ROWS:
                        flush()
                sources.append({**file.as_dict(), "records": steps.records})
                names.append([file.name, rows.count - before])
        write_json(part / "unit.json", {"rows": rows.count, "shards": rows.shards, "files": names,
                                        "sources": sources, "rules": log.as_dict()})  # fmt: skip
    return read_json(unit.path / "unit.json")


def apply_edits(unit: Unit) -> dict[str, Any]:
    """Writes the rows of a unit anew by its `edits.parquet`; `rows` and `shards` after it."""
    kept = unit.path / "kept"
    with _attempt(kept) as part:
        edits = pq.read_table(unit.path / "edits.parquet")
        edited, names = edits["row"].to_numpy(), edits["id"]
        first = rows = 0
        with ShardWriter(part, 0) as writer:
            for number in range(read_json(unit.path / "unit.json")["shards"]):
                for batch in batches_of_shard(unit.path / shard_name(number)):
                    low, high = np.searchsorted(edited, [first, first + batch.num_rows])
                    done = _edited(batch, edited[low:high] - first, names.slice(low, high - low))
                    first += batch.num_rows
                    rows += done.num_rows
                    writer.write(done)
        write_json(part / "unit.json", {"rows": rows, "shards": writer.next})
    return read_json(kept / "unit.json")


def _edited(batch: pa.RecordBatch, rows: np.ndarray, names: pa.ChunkedArray) -> pa.RecordBatch:
    if not len(rows):
        return batch
    gone = names.is_null().to_numpy()
    renamed = np.zeros(batch.num_rows, bool)
    renamed[rows[~gone]] = True
    ids = pc.call_function(
        "replace_with_mask", [batch["id"], pa.array(renamed), names.drop_null().combine_chunks()]
    )
    batch = batch.set_column(batch.schema.get_field_index("id"), batch.schema.field("id"), ids)
    if not gone.any():
        return batch
    kept = np.ones(batch.num_rows, bool)
    kept[rows[gone]] = False
    return batch.filter(pa.array(kept))


@contextmanager
def _attempt(path: Path) -> Iterator[Path]:
    """A folder that takes the name `path` when the block ends well, unless another attempt was first."""
    part = Path(tempfile.mkdtemp(prefix=f"attempt-{path.name}-", dir=path.parent))
    try:
        yield part
        for file in part.iterdir():
            sync(file)
        try:
            part.rename(path)
        except OSError:
            if not (path / "unit.json").is_file():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _listing(path: Path, log: RuleLog) -> Iterator[Callable[[], None]]:
    """The listing of a unit; the yielded function moves the rows of the log there."""
    with pq.ParquetWriter(path, LISTING_SCHEMA) as writer:
        yield lambda: writer.write_table(log.take_rows())
        writer.write_table(log.take_rows())


class _Rows:
    """Writes the rows of a unit, and beside them what the merge needs."""

    def __init__(self, folder: Path) -> None:
        self.count = self.shards = 0
        self._shards = ShardWriter(folder, 0)
        # read once and removed: hashes and ids neither repeat nor pack
        plain = {"use_dictionary": False, "compression": "none", "write_statistics": False}
        self._file = PieceFile(folder / "rows.parquet", "wb")
        self._rows = pq.ParquetWriter(self._file, ROWS_SCHEMA, **plain)

    def write(self, batch: pa.RecordBatch, lines: pa.Array, found: Digests, file: SourceFile) -> None:
        column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(found), [None, pa.py_buffer(found)])
        none = pa.nulls(batch.num_rows, pa.string())
        accession = accession_column(batch, file.format) if file.has_accessions else none
        self._rows.write_batch(pa.record_batch([batch["id"], lines, column, accession], schema=ROWS_SCHEMA))
        self._shards.write(batch)
        self.count += batch.num_rows

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._rows.close()
        self._file.close()
        self._shards.__exit__(*failure)
        self.shards = self._shards.next


def _is_bad(file: SourceFile, config: ReadConfig, log: RuleLog) -> bool:
    """Reads a file to its end beforehand, so that one that breaks off leaves no rows."""
    if config.on_bad_file == "error":
        return False
    try:
        for _ in open_records(file.path, file.format, config=config, log=RuleLog()):
            pass
    except DataError as error:
        log.drop("bad-file", None, detail=str(error).removeprefix(f"{file.path}: "))
        return True
    return False


def _label_table(config: ReadConfig) -> LabelTable | None:
    path = config.labels
    if path is None:
        return None
    return _read_labels(path, path.stat().st_mtime_ns, config.windows.window > 0)


@lru_cache(maxsize=1)
def _read_labels(path: Path, changed: int, windows: bool) -> LabelTable:
    from biodata.curate.labels import LabelTable

    return LabelTable(path, windows=windows)
