"""Joins units that were read anywhere, in input order: records that several files hold, exact duplicates, ids
made unique, labels counted.

Looks at ids, lines and digests only, never at sequences: some 60 bytes a row. Its verdict goes back to the
units as edits, which are applied where anything changed. The outcome is that of reading all files one after
the other, whatever was a unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.arrays import arrow
from biodata.curate.accessions import Accessions
from biodata.curate.dedupe import Deduper, Digests
from biodata.curate.ids import UniqueIds
from biodata.curate.rules import LISTING_SCHEMA, RuleLog
from biodata.errors import DataError
from biodata.files import atomic_path
from biodata.staging import batches_of
from biodata.units import EDITS_SCHEMA, Unit

if TYPE_CHECKING:
    from biodata.curate.labels import LabelTable


class Merge:
    """What units are told by those before them.

    Args:
        workdir: an existing folder for scratch files.
        labels: the table that was joined, if there is one.

    Attributes:
        counts: of rules, over all units.
        rows: rows kept so far.
    """

    def __init__(self, workdir: Path, labels: LabelTable | None) -> None:
        self._workdir, self._labels = workdir, labels
        self.counts = RuleLog()
        self.rows = 0

    def edit(self, units: Sequence[tuple[Unit, dict[str, Any]]]) -> Iterator[bool]:
        """Writes `edits.parquet` and `merged.parquet` (the listing) of each unit; whether it has edits."""
        folder, accessions = self._workdir / "ids", self._workdir / "accessions"
        folder.mkdir()
        accessions.mkdir()
        self._accessions = Accessions(accessions)
        with Deduper(self._workdir) as deduper:
            ids = UniqueIds(folder)
            for unit, counts in units:
                yield self._unit(unit, counts["files"], deduper, ids)
            ids.close()
        self._accessions.close()

    def _unit(self, unit: Unit, files: list[list[Any]], deduper: Deduper, ids: UniqueIds) -> bool:
        log, edits, edited, first = RuleLog(), atomic_path(unit.path / "edits.parquet"), 0, 0
        listing = atomic_path(unit.path / "merged.parquet")
        with (
            edits as edits_path, pq.ParquetWriter(edits_path, EDITS_SCHEMA) as writer,
            listing as listing_path, pq.ParquetWriter(listing_path, LISTING_SCHEMA) as book,
        ):  # fmt: skip
            for name, batch in _by_file(unit, files):
                log.file = name
                table = self._verdict(batch, first, deduper, ids, log)
                writer.write_table(table)
                book.write_table(log.take_rows())
                edited += table.num_rows
                first += batch.num_rows
        self.counts.add_counts(log.as_dict())
        return edited > 0

    def _verdict(
        self, batch: pa.RecordBatch, first: int, deduper: Deduper, ids: UniqueIds, log: RuleLog
    ) -> pa.Table:
        """The edits of some rows, of which the first has the number `first` in its unit."""
        found = _digests_of(batch["digest"])
        fresh = ~self._accessions.repeated(batch, log.file, log)
        left = batch if fresh.all() else batch.filter(arrow(fresh))
        fresh[fresh] = deduper.unique(left, found[fresh], log)
        kept = batch.filter(arrow(fresh))
        self.rows += kept.num_rows
        if self._labels is not None:
            self._count_labels(self._labels.of(kept["id"]), log)
        names = ids.unique(kept, log)
        if fresh.all() and names.equals(kept["id"]):
            return pa.Table.from_batches([], EDITS_SCHEMA)
        renamed = pc.call_function("not_equal", [names, kept["id"]]).to_numpy(zero_copy_only=False)
        numbers = np.arange(first, first + batch.num_rows)
        gone, new = numbers[~fresh], numbers[fresh][renamed]
        table = pa.table(
            {"row": np.concatenate([gone, new]),
             "id": pa.concat_arrays([pa.nulls(len(gone), pa.string()), names.filter(arrow(renamed))])},
            schema=EDITS_SCHEMA,
        )  # fmt: skip
        return table.sort_by("row")

    def _count_labels(self, found: pa.Array, log: RuleLog) -> None:
        sizes = pc.call_function("list_value_length", [found])
        if missing := pc.call_function("equal", [sizes, pa.scalar(0)]).true_count:
            log.change("record-without-label", missing)

    def check_labels(self, where: Path | None, log: RuleLog) -> None:
        """Counts and lists the labels that fit no kept record.

        Raises:
            DataError: none fits.
        """
        if self._labels is None:
            return
        left = self._labels.unmatched()
        if len(left) == len(self._labels.ids):
            first = left[0].as_py() if len(left) else None
            raise DataError(f"no label fits any record, the first is for {first!r}", where=where,
                            hint="ids must equal those of the records")  # fmt: skip
        if len(left):
            log.file = Path(str(where)).name
            log.change("label-without-record", ids=left, detail="no kept record has this id")


def _by_file(unit: Unit, files: list[list[Any]]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of a unit in order, no batch with rows of two files."""
    ends = np.cumsum([rows for _, rows in files])
    number = row = 0
    for batch in batches_of(unit.path / "rows.parquet"):
        while batch.num_rows:
            while ends[number] <= row:
                number += 1
            size = min(batch.num_rows, int(ends[number]) - row)
            yield files[number][0], batch.slice(0, size)
            batch = batch.slice(size)
            row += size


def _digests_of(column: pa.FixedSizeBinaryArray) -> Digests:
    """A column of digests as an array [n, 16], not copied."""
    data = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, 16)
    return data[column.offset : column.offset + len(column)]
