"""One folder of the cache: rows of numbers by checksum, in Parquet files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import DataError
from biodata.files import atomic_path

_NUMBERS_PER_FILE = 1 << 23
_ROWS_PER_FILE = 4096
_SECONDS_PER_FILE = 30.0
_KEY, _VALUES = "checksum", "embedding"


class Shelf:
    """What is in a folder. Knows its files as of the last `look`.

    Args:
        folder: may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, tuple[Path, int]] = {}
        self._seen: set[Path] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def look(self) -> None:
        """Takes notice of new files, this process's and others'.

        Raises:
            DataError: a damaged file.
        """
        for path in sorted(self.folder.glob("*.parquet")):
            if path not in self._seen:
                keys = _read(path, [_KEY]).column(_KEY).to_pylist()
                self._places.update((key, (path, row)) for row, key in enumerate(keys))
                self._seen.add(path)

    def read(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The rows of keys that are there; each file is opened once.

        Raises:
            DataError: a damaged file.
        """
        wanted: dict[Path, list[tuple[int, str]]] = {}
        for key in keys:
            path, row = self._places[key]
            wanted.setdefault(path, []).append((row, key))
        found: dict[str, np.ndarray] = {}
        for path, places in wanted.items():
            rows = _arrays(_read(path, [_VALUES]).column(_VALUES).combine_chunks())
            found.update((key, rows[row]) for row, key in places)
        return found

    def write(self, keys: Sequence[str], rows: Sequence[np.ndarray], about: Mapping[str, str]) -> None:
        """Writes rows as a new file.

        Args:
            keys: checksums.
            rows: arrays `[d]` of one d and type, or `[t, d]` with t of each its own.
            about: for the file's metadata.
        """
        table = pa.table({_KEY: pa.array(keys, pa.string()), _VALUES: _column(rows)})
        # A name of its own keeps two writers of the same rows apart; rows written twice are equal.
        name = f"{hashlib.sha256(''.join(keys).encode()).hexdigest()[:24]}-{uuid.uuid4().hex[:12]}.parquet"
        with atomic_path(self.folder / name) as part:
            pq.write_table(table.replace_schema_metadata(dict(about)), part, compression="zstd")
        self._places.update((key, (self.folder / name, row)) for row, key in enumerate(keys))
        self._seen.add(self.folder / name)


class ShelfWriter:
    """Collects rows into files of some size; what it holds is written when the block ends, however it ends.

    Args:
        shelf: where to.
        about: for the metadata of every file.
    """

    def __init__(self, shelf: Shelf, about: Mapping[str, str]) -> None:
        self.shelf, self.about = shelf, about
        self._rows: dict[str, np.ndarray] = {}
        self._numbers, self._begun = 0, time.monotonic()

    def add(self, keys: Sequence[str], rows: Sequence[np.ndarray]) -> None:
        """Takes rows; writes a file when it holds enough, or has held them for half a minute."""
        self._rows.update(zip(keys, rows))
        self._numbers += sum(row.size for row in rows)
        old = time.monotonic() - self._begun >= _SECONDS_PER_FILE
        if old or len(self._rows) >= _ROWS_PER_FILE or self._numbers >= _NUMBERS_PER_FILE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self.shelf.write(list(self._rows), list(self._rows.values()), self.about)
        self._rows, self._numbers, self._begun = {}, 0, time.monotonic()

    def __enter__(self) -> ShelfWriter:
        return self

    def __exit__(self, *failure: object) -> None:
        self._flush()


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        hint = "delete the file; it will be made again"
        raise DataError(f"damaged cache file: {error}", where=path, hint=hint) from error


def _column(rows: Sequence[np.ndarray]) -> pa.Array:
    flat = np.concatenate([row.ravel() for row in rows])
    values = pa.FixedSizeListArray.from_arrays(pa.array(flat), rows[0].shape[-1])
    if rows[0].ndim == 1:
        return values
    ends = np.cumsum([0, *(len(row) for row in rows)])
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), values)


def _arrays(array: pa.Array | pa.ChunkedArray) -> Sequence[np.ndarray]:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if not pa.types.is_large_list(array.type):
        return list(_matrix(array))
    ends, matrix = array.offsets.to_numpy(), _matrix(array.flatten())
    ends = ends - ends[0]
    return [matrix[start:end] for start, end in pairwise(ends)]


def _matrix(array: pa.Array) -> np.ndarray:
    flat = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), array.type.list_size)
