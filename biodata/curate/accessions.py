"""Records that several files of an archive hold: groups of RefSeq overlap (a bacterium's plasmid is in both).

The first file that gives an accession keeps it; rows of the same accession in later files are dropped. Files
of different formats do not compete: coding sequences come from the GenBank file only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biodata.curate.digest_index import DigestIndex
from biodata.curate.rules import RuleLog
from biodata.curate.text_hash import text_hashes

REPEATED = "duplicate-accession"
"""The rule by which rows go, with the file that was first as the detail."""


class Accessions:
    """Remembers which file gave each accession first, as 128-bit hashes, in bounded memory.

    Args:
        workdir: an existing folder of its own for scratch files.
        memory_rows: hashes held in memory; beyond that they go to sorted files.

    >>> from tempfile import TemporaryDirectory
    >>> log = RuleLog()
    >>> rows = pa.record_batch({"id": ["a", "b"], "line": [1, 3], "accession": ["NC_1.1", "NC_1.1"]})
    >>> with TemporaryDirectory() as folder:
    ...     seen = Accessions(Path(folder))
    ...     first, second = (seen.repeated(rows, name, log).tolist() for name in ("x.gb", "y.gb"))
    >>> first, second, log.as_dict()["dropped"]
    ([False, False], [True, True], {'duplicate-accession': 2})
    """

    def __init__(self, workdir: Path, *, memory_rows: int = 1_000_000) -> None:
        self._index = DigestIndex(workdir, memory_rows=memory_rows)
        self._path = workdir / "first-files.bin"  # file number of each accession, 4 bytes
        self._path.write_bytes(b"")
        self._files: list[str] = []

    def repeated(self, batch: pa.RecordBatch, file: str, log: RuleLog) -> npt.NDArray[np.bool_]:
        """The rows whose accession an earlier file gave; they are counted and listed.

        Args:
            batch: columns `id`, `line` and `accession` (null: the row has none).
            file: name of the input that the rows are from; files come one after the other.
            log: the book.
        """
        again = np.zeros(batch.num_rows, bool)
        column = batch["accession"]
        if column.null_count == len(column):
            return again
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        owner = self._owners(column.drop_null())
        again[known] = owner != len(self._files) - 1
        if again.any():
            gone = pa.array(again)
            first = [f"the record is in {self._files[number]}" for number in owner[again[known]]]
            log.drop(REPEATED, batch["id"].filter(gone), lines=batch["line"].filter(gone), detail=first)
        return again

    def _owners(self, accessions: pa.Array) -> npt.NDArray[np.int32]:
        """The number of the file that gave each accession first."""
        numbers, fresh = self._index.number(text_hashes(accessions))
        mine = len(self._files) - 1
        with open(self._path, "ab") as out:
            out.write(np.full(int(fresh.sum()), mine, np.int32).tobytes())
        return np.memmap(self._path, np.int32, mode="r")[numbers]

    def close(self) -> None:
        """Removes the scratch files."""
        self._index.close()
        self._path.unlink(missing_ok=True)


def accession_column(batch: pa.RecordBatch, format: str) -> pa.Array:
    """The accession of each row of `SCHEMA` behind the format of its file: the record it was cut from, if it
    was cut, else its id."""
    found = pc.call_function("coalesce", [batch["parent"], batch["id"]])
    return pc.call_function("binary_join_element_wise", [pa.scalar(format), found, pa.scalar(" ")])
