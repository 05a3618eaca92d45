"""Pairs of rows that share k-mers of their sketches: few per row, so linear in the number of rows.

Of the rows that have a k-mer, each is paired with the longest of its own length class (as LinClust does) and
with the next `_NEXT` in order of length; not all with all. A pair counts how many k-mers brought it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from biodata.engine import in_order
from biodata.files import atomic_path
from biodata.large.letters import Letters, open_letters
from biodata.large.sketches import KMERS, Block, Pass, read_partition, sketch_block
from biodata.progress import progress
from biodata.similarity.search import rows_of

_BLOCK_LETTERS = 32 << 20
_PARTITION = 1 << 20  # k-mers compared together
_NEXT = 3
Task = TypeVar("Task")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One partition of the k-mers, or one range of rows."""

    of: Pass
    number: int
    blocks: tuple[Path, ...]
    ratio: float

    @property
    def pairs(self) -> Path:
        return self.of.folder / f"pairs-{self.number:05d}.bin"

    @property
    def merged(self) -> Path:
        return self.of.folder / f"merged-{self.number:05d}.npy"


def find_candidates(
    letters: Letters, how: Pass, *, ratio: float, executor: Executor | None = None
) -> list[Path]:
    """Files of candidate pairs by range of their lower row; each pair once.

    Args:
        how: `partitions` is what `partitions_of` said.
        ratio: least length of the shorter row / longer row of a pair that may be alike.

    Returns:
        Paths for `read_pairs`.
    """
    how.folder.mkdir(parents=True, exist_ok=True)
    blocks = [Block(of=how, number=number, start=start, stop=stop)
              for number, (start, stop) in enumerate(letters.blocks(_BLOCK_LETTERS))]  # fmt: skip
    paths = tuple(block.path for block in blocks)
    parts = [_Part(of=how, number=number, blocks=paths, ratio=ratio) for number in range(how.partitions)]
    _run(sketch_block, blocks, executor, "sketching")
    _run(_pair_up, parts, executor, "pairing")
    _run(_merge, parts, executor, "merging pairs")
    return [part.merged for part in parts]


def _run(function: Callable[[Task], object], tasks: list[Task], executor: Executor | None, what: str) -> None:
    with progress(what, len(tasks)) as advance:
        for _ in in_order(executor, function, tasks):
            advance(1)


def partitions_of(letters: Letters) -> int:
    """How many partitions keep the memory of each small, a power of two."""
    entries = int(np.minimum(letters.lengths, KMERS).sum())
    return 1 << max(0, int(entries // _PARTITION)).bit_length()


def read_pairs(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower rows, higher rows, and how many k-mers each pair shares; sorted."""
    keys, counts = np.load(path)
    return *rows_of(keys), counts


def pairs_of(hashes: np.ndarray, rows: np.ndarray, lengths: np.ndarray, ratio: float) -> np.ndarray:
    """Pairs brought up by some k-mers, as lower row * 2^32 + higher row, sorted, with repeats.

    Args:
        hashes: uint64 k-mers, in any order.
        rows: int64 row of each.
        lengths: of all rows.
    """
    order = np.argsort(hashes, kind="stable")
    hashes, rows = hashes[order], rows[order]
    same = hashes[1:] == hashes[:-1]
    several = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    hashes, rows = hashes[several], rows[several]
    order = np.lexsort((rows, -lengths[rows], hashes))
    hashes, rows = hashes[order], rows[order]
    if not len(hashes):
        return np.zeros(0, np.uint64)
    size = np.floor(np.log(lengths[rows]) / np.log(1 / min(ratio, 0.99))).astype(np.int64)
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (size[1:] != size[:-1])
    centre = np.flatnonzero(new)[np.cumsum(new) - 1]
    left, right = [rows[centre]], [rows]
    for step in range(1, _NEXT + 1):
        near = hashes[step:] == hashes[:-step]
        left.append(rows[:-step][near])
        right.append(rows[step:][near])
    a, b = np.concatenate(left), np.concatenate(right)
    short, long = np.minimum(lengths[a], lengths[b]), np.maximum(lengths[a], lengths[b])
    fits = (a != b) & (short >= ratio * long)
    low, high = np.minimum(a, b)[fits].astype(np.uint64), np.maximum(a, b)[fits].astype(np.uint64)
    return np.sort(low << np.uint64(32) | high)


def _pair_up(part: _Part) -> None:
    """Writes the pairs of one partition, sorted, and where each range of rows starts."""
    if part.pairs.is_file():
        return
    found = [read_partition(path, part.number, part.of.partitions) for path in part.blocks]
    hashes, rows = (np.concatenate(column) for column in zip(*found))
    letters = open_letters(part.of.letters)
    keys = pairs_of(hashes, rows.astype(np.int64), letters.lengths, part.ratio)
    edges = _edges(len(letters), part.of.partitions)
    starts = np.searchsorted(keys, edges.astype(np.uint64) << np.uint64(32))
    with atomic_path(part.pairs) as path, open(path, "wb") as handle:
        starts[:-1].astype(np.int64).tofile(handle)
        np.array([len(keys)], np.int64).tofile(handle)
        keys.tofile(handle)


def _merge(part: _Part) -> None:
    """Joins the pairs of one range of rows from all partitions."""
    if part.merged.is_file():
        return
    ranges = part.of.partitions
    found = list(_ranges(part, ranges))
    keys, counts = np.unique(np.concatenate(found), return_counts=True)
    with atomic_path(part.merged) as path, open(path, "wb") as handle:
        np.save(handle, np.stack([keys, counts.astype(np.uint64)]))


def _ranges(part: _Part, ranges: int) -> Iterator[np.ndarray]:
    for number in range(ranges):
        with open(part.of.folder / f"pairs-{number:05d}.bin", "rb") as handle:
            starts = np.fromfile(handle, np.int64, ranges + 1)
            first, last = int(starts[part.number]), int(starts[part.number + 1])
            handle.seek(starts.nbytes + 8 * first)
            yield np.fromfile(handle, np.uint64, last - first)


def _edges(rows: int, ranges: int) -> np.ndarray:
    """First row of each range, and the number of rows at the end."""
    return np.arange(ranges + 1, dtype=np.int64) * rows // ranges


def remove_pass(how: Pass, merged: Sequence[Path]) -> None:
    """Removes what is not needed once the pairs are merged."""
    for path in how.folder.iterdir():
        if path not in merged:
            path.unlink()
