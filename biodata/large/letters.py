"""All sequences of a build in one flat file: any row is read by its place, and none stays in memory.

    letters.bin   normalised sequences one after the other, nothing between them
    offsets.npy   int64 [rows + 1], where each begins

Read with `pread`, not mapped: pages of a mapped file count as memory of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.engine import in_order
from biodata.files import atomic_path, write_json
from biodata.mmseqs import normalised
from biodata.progress import progress


@dataclass(frozen=True, slots=True)
class Letters:
    """The sequences of a build.

    Attributes:
        folder: where the two files are.
        offsets: int64 [rows + 1].
    """

    folder: Path
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Letters of each row, int64."""
        return np.diff(self.offsets)

    def read(self, start: int, stop: int) -> np.ndarray:
        """uint8 letters of the rows from `start` to `stop`, one after the other."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return self.piece(first, last)

    @contextmanager
    def rows(self) -> Iterator[Callable[[int], bytes]]:
        """The sequence of any row by its number; opening the file anew is most of reading a short row."""
        with open(self.folder / "letters.bin", "rb", buffering=0) as file:
            yield lambda row: self._row(file.fileno(), row)

    def _row(self, descriptor: int, row: int) -> bytes:
        first, last = int(self.offsets[row]), int(self.offsets[row + 1])
        found = os.pread(descriptor, last - first, first)
        # a read may end early, of 2 GiB it always does
        return found if len(found) == last - first else self.piece(first, last).tobytes()

    def piece(self, first: int, last: int) -> np.ndarray:
        """uint8 letters from one place of the file to another."""
        found = np.empty(last - first, np.uint8)
        view, done = memoryview(found.data), 0
        with open(self.folder / "letters.bin", "rb", buffering=0) as file:
            while done < len(found):
                got = os.preadv(file.fileno(), [view[done:]], first + done)
                if not got:
                    raise EOFError(f"{self.folder / 'letters.bin'} ends before row data does")
                done += got
        return found

    def blocks(self, letters: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows of about so many letters each, a longer row alone."""
        start, rows = 0, len(self)
        while start < rows:
            stop = int(np.searchsorted(self.offsets, self.offsets[start] + letters, side="right")) - 1
            stop = min(max(stop, start + 1), rows)
            yield start, stop
            start = stop


def open_letters(folder: Path) -> Letters:
    """Opens what `write_letters` wrote."""
    return _opened(folder, (folder / "letters.json").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(folder: Path, changed: int) -> Letters:
    return Letters(folder, np.load(folder / "offsets.npy"))


def write_letters(
    stages: Sequence[Path], folder: Path, *, alphabet: str, executor: Executor | None = None
) -> Letters:
    """Writes the sequences of Parquet files, normalised; does nothing where that is done.

    Args:
        stages: files of `SCHEMA`, one after the other; of DNA, RNA or proteins, a byte a letter.
        folder: made if need be.
    """
    done = folder / "letters.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        lengths = [pq.read_table(path, columns=["length"])["length"].to_numpy() for path in stages]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        with atomic_path(folder / "offsets.npy") as part, open(part, "wb") as handle:
            np.save(handle, offsets)
        with open(folder / "letters.bin", "wb") as handle:
            handle.truncate(int(offsets[-1]))
        firsts = np.cumsum([0, *(len(part) for part in lengths)])
        target = (folder / "letters.bin").absolute()
        tasks = [_Shard(path.absolute(), target, int(offsets[first]), alphabet)
                 for path, first in zip(stages, firsts)]  # fmt: skip
        with progress("laying out sequences", len(tasks)) as advance:
            for _ in in_order(executor, _write_shard, tasks):
                advance(1)
        write_json(done, {"rows": len(offsets) - 1})
    return open_letters(folder)


@dataclass(frozen=True, slots=True)
class _Shard:
    path: Path
    target: Path
    at: int
    alphabet: str


def _write_shard(shard: _Shard) -> None:
    at = shard.at
    with pq.ParquetFile(shard.path) as file, open(shard.target, "r+b", buffering=0) as handle:
        for batch in file.iter_batches(columns=["sequence"], batch_size=4096):
            for chunk in normalised(batch["sequence"], alphabet=shard.alphabet).chunks:
                data = _bytes_of(chunk)
                while len(data):
                    done = os.pwrite(handle.fileno(), data, at)
                    data, at = data[done:], at + done


def _bytes_of(texts: pa.Array) -> memoryview:
    """The letters of a `large_string` array, one text after the other."""
    if not len(texts):
        return memoryview(b"")
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(texts.buffers()[2] or b"")[offsets[0] : offsets[-1]]
