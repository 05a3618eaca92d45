"""Exact duplicates found while reading, in bounded memory: the first occurrence in input order is kept.

Two rows are duplicates when the first 128 bits of SHA-256 of their sequences are equal
(`biodata.schema.checksum`): with 10^9 different sequences two of them collide with probability
n^2 / 2^129 = 1.5e-21. What is kept depends on the order of the rows only, never on how they were batched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from io import BufferedRandom
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.arrays import arrow
from biodata.curate.digest_index import DigestIndex
from biodata.curate.rules import RuleLog
from biodata.io.pieces import PieceFile

Digests = npt.NDArray[np.uint8]

_HEX = 32  # hexadecimal digits of a checksum


def digests(sequences: pa.Array) -> Digests:
    """The first 16 bytes of SHA-256 of every sequence, as an array [n, 16].

    >>> from biodata.schema import checksum
    >>> digests(pa.array(["ACGT"], pa.large_string())).tobytes().hex() == checksum("ACGT")
    True
    """
    n = len(sequences)
    if not n:
        return np.empty((0, 16), np.uint8)
    offsets, data = _text_buffers(sequences)
    sha256 = hashlib.sha256
    found = b"".join([sha256(data[a:b]).digest() for a, b in pairwise(offsets.tolist())])
    return np.ascontiguousarray(np.frombuffer(found, np.uint8).reshape(n, 32)[:, :16])


def _text_buffers(texts: pa.Array) -> tuple[npt.NDArray[np.int64], memoryview]:
    """Offsets [n + 1] and bytes of a column of texts that is not empty."""
    column = texts.cast(pa.large_string())
    start = column.offset
    offsets = np.frombuffer(column.buffers()[1], np.int64)[start : start + len(column) + 1]
    return offsets, memoryview(column.buffers()[2] or b"")


def checksum_column(found: Digests) -> pa.Array:
    """Digests as the texts of the column `checksum`."""
    offsets = np.arange(0, _HEX * (len(found) + 1), _HEX, dtype=np.int32)
    text = found.tobytes().hex().encode()
    return pa.Array.from_buffers(pa.string(), len(found), [None, pa.py_buffer(offsets), pa.py_buffer(text)])


class Deduper:
    """Remembers every sequence that was kept so far, in about 400 MB at most, whatever their number.

    Args:
        workdir: an existing folder for scratch files, which `close` removes; files of an earlier, killed
            process are overwritten.
        memory_rows: digests held in memory; beyond that they go to sorted files in `workdir`.

    >>> from tempfile import TemporaryDirectory
    >>> batch, log = pa.record_batch({"id": ["a", "b", "c"]}), RuleLog(file="x.fa")
    >>> found = digests(pa.array(["AC", "GT", "AC"]))
    >>> with TemporaryDirectory() as folder, Deduper(Path(folder)) as deduper:
    ...     fresh = deduper.unique(batch, found, log)
    >>> fresh.tolist(), log.table()["detail"].to_pylist()
    ([True, True, False], ["same sequence as 'a'"])
    """

    def __init__(self, workdir: Path, *, memory_rows: int = 2_000_000) -> None:
        self._index = DigestIndex(workdir, memory_rows=memory_rows)
        self._ids = _IdFile(workdir)

    def unique(self, batch: pa.RecordBatch, found: Digests, log: RuleLog) -> npt.NDArray[np.bool_]:
        """Which rows hold a sequence that was not seen before.

        Args:
            batch: columns `id` and, where known, `line`.
            found: digest of the sequence of each row, [n, 16].
            log: takes the others as `duplicate`, each with the id of the row that was kept.
        """
        numbers, fresh = self._index.number(found)
        self._ids.append(batch["id"].filter(arrow(fresh)))
        if not fresh.all():
            copies = pa.array(~fresh)
            details = [f"same sequence as {id!r}" for id in self._ids.get(numbers[~fresh].tolist())]
            lines = batch["line"].filter(copies) if "line" in batch.schema.names else None
            log.drop("duplicate", batch["id"].filter(copies), lines=lines, detail=details)
        return fresh

    def close(self) -> None:
        """Removes the scratch files."""
        self._index.close()
        self._ids.close()

    def __enter__(self) -> Deduper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _IdFile:
    """Ids by number, on disk: they are only looked at for duplicates."""

    def __init__(self, workdir: Path) -> None:
        self._paths = [workdir / name for name in ("dedupe-ids.bin", "dedupe-ends.bin")]
        self._text, self._ends = (BufferedRandom(PieceFile(path, "w+b")) for path in self._paths)
        self._end = 0

    def append(self, ids: pa.Array) -> None:
        if not len(ids):
            return
        offsets, data = _text_buffers(ids)
        self._text.write(data[offsets[0] : offsets[-1]])
        ends = offsets[1:] - offsets[0] + self._end
        self._ends.write(ends.tobytes())
        self._end = int(ends[-1])

    def get(self, numbers: Sequence[int]) -> list[str]:
        self._text.flush()
        self._ends.flush()
        return [self._one(number) for number in numbers]

    def _one(self, number: int) -> str:
        at = max(number - 1, 0) * 8
        ends = np.frombuffer(os.pread(self._ends.fileno(), 16, at), np.int64)
        start, end = (0, int(ends[0])) if number == 0 else map(int, ends)
        return os.pread(self._text.fileno(), end - start, start).decode()

    def close(self) -> None:
        for handle, path in zip((self._text, self._ends), self._paths):
            handle.close()
            path.unlink(missing_ok=True)
