"""Which rows of a written dataset are audited: held-out rows, and planted near-copies of training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.engine import in_order
from biodata.files import atomic_path
from biodata.mmseqs import normalised
from biodata.schema import SPLITS
from biodata.similarity.search import LONG
from biodata.similarity.short import short_below
from biodata.splits.plant import plant

SAMPLED = 3_000
"""Held-out rows that are searched for."""
_PLANTED = 64
_SAMPLED_LETTERS = 8 << 20
_CHUNK_LETTERS = 16 << 20
SAMPLE_SCHEMA = pa.schema(
    [("sequence", pa.large_string()), ("row", pa.int64()), ("split", pa.int8()), ("level", pa.float64())]
)
"""`level`: identity of a planted copy of training row `row`, null for a held-out row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Row groups of a data file.

    Attributes:
        groups: numbers of the row groups.
        first: number of the first row, counted over all data files.
        split: number in `SPLITS`.
        wanted: rows that are to be fetched, counted from `first`.
    """

    path: Path
    groups: tuple[int, ...]
    first: int
    split: int
    wanted: np.ndarray

    def sequences(self, alphabet: str) -> pa.ChunkedArray:
        """The sequences, normalised."""
        with pq.ParquetFile(self.path) as file:
            table = file.read_row_groups(list(self.groups), columns=["sequence"])
        return normalised(table["sequence"], alphabet=alphabet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is audited.

    Attributes:
        path: Parquet file of `SAMPLE_SCHEMA`.
        rows: held-out rows in it.
        of: held-out rows there are.
        planted: near-copies in it.
        chunks: all rows of the dataset.
    """

    path: Path
    rows: int
    of: int
    planted: int
    chunks: tuple[Chunk, ...]


def draw_sample(
    folder: Path, files: Sequence[Mapping[str, Any]], path: Path, *, alphabet: str, identity: float,
    seed: int, executor: Executor | None,
) -> Sample:  # fmt: skip
    """Draws held-out rows and plants near-copies of training rows, both by `seed`.

    Args:
        folder: the dataset folder.
        files: entries `name`, `split` of its manifest.
        path: the file to write.
    """
    chunks, lengths, split = _chunks(folder, files)
    random = np.random.default_rng([seed, 2])
    held = random.permutation(np.flatnonzero((split > 0) & (lengths > 0)))
    total = len(held)
    held = held[: min(SAMPLED, max(1, int(np.searchsorted(np.cumsum(lengths[held]), _SAMPLED_LETTERS))))]
    usable = (split == 0) & (lengths >= short_below(alphabet)) & (lengths <= LONG)
    sources = random.permutation(np.flatnonzero(usable))[:_PLANTED]
    rows = np.sort(np.concatenate([held, sources]))
    texts = _fetch(chunks, rows, alphabet, executor)
    of_held, of_train = (texts.take(pa.array(np.searchsorted(rows, np.sort(x)))) for x in (held, sources))
    copies, place, levels = plant(of_train, np.zeros(len(of_train), np.int8), alphabet=alphabet,
                                  identity=identity, seed=seed)  # fmt: skip
    held = np.sort(held)
    table = pa.table(
        {"sequence": pa.chunked_array([*of_held.chunks, copies], pa.large_string()),
         "row": np.concatenate([held, np.sort(sources)[place]]),
         "split": np.concatenate([split[held], np.full(len(place), len(SPLITS), np.int8)]),
         "level": pa.array([*[None] * len(held), *levels.tolist()], pa.float64())},
        schema=SAMPLE_SCHEMA,
    )  # fmt: skip
    with atomic_path(path) as part:
        pq.write_table(table, part)
    return Sample(path=path, rows=len(held), of=total, planted=len(place), chunks=tuple(chunks))


def _chunks(folder: Path, files: Sequence[Mapping[str, Any]]) -> tuple[list[Chunk], np.ndarray, np.ndarray]:
    """All rows in chunks of row groups, their lengths, their splits."""
    chunks, lengths, splits = [], [], []
    first = 0
    for entry in files:
        path, number = (folder / entry["name"]).absolute(), SPLITS.index(entry["split"])
        with pq.ParquetFile(path) as file:
            groups: list[int] = []
            start, letters = first, 0
            for group in range(file.num_row_groups):
                found = file.read_row_group(group, columns=["length"])["length"].to_numpy()
                lengths.append(found)
                splits.append(np.full(len(found), number, np.int8))
                groups.append(group)
                first += len(found)
                letters += int(found.sum())
                if letters >= _CHUNK_LETTERS or group == file.num_row_groups - 1:
                    chunks.append(Chunk(path=path, groups=tuple(groups), first=start, split=number,
                                        wanted=np.zeros(0, np.int64)))  # fmt: skip
                    groups, start, letters = [], first, 0
    return chunks, np.concatenate(lengths), np.concatenate(splits)


def _fetch(
    chunks: Sequence[Chunk], rows: np.ndarray, alphabet: str, executor: Executor | None
) -> pa.ChunkedArray:
    """Sequences of some rows, given in order."""
    tasks = []
    ends = [*(chunk.first for chunk in chunks[1:]), np.iinfo(np.int64).max]
    for chunk, end in zip(chunks, ends):
        wanted = rows[(rows >= chunk.first) & (rows < end)] - chunk.first
        if len(wanted):
            tasks.append((Chunk(path=chunk.path, groups=chunk.groups, first=chunk.first, split=chunk.split,
                                wanted=wanted), alphabet))  # fmt: skip
    parts = [part for found in in_order(executor, _take, tasks) for part in found.chunks]
    return pa.chunked_array(parts, pa.large_string())


def _take(task: tuple[Chunk, str]) -> pa.ChunkedArray:
    chunk, alphabet = task
    return chunk.sequences(alphabet).take(pa.array(chunk.wanted))
