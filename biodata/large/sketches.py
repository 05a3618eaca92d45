"""A fixed number of k-mers of every row, whatever its length: rows that share one may be alike.

Of each row those k-mers are taken whose hash is below a threshold that goes with 1 / length, so that about
`KMERS` are (bottom sketches of a fixed share, as of sourmash's FracMinHash, doi:10.1101/2022.01.11.475838,
with the share fitted to the row). Thresholds are nested: a k-mer common to two rows of similar lengths is in
both sketches or in neither, but for the few between the thresholds. LinClust
(doi:10.1038/s41467-018-04964-5) takes the 20 smallest instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biodata.files import atomic_path
from biodata.large.letters import Letters, open_letters
from biodata.mmseqs import NUCLEOTIDES
from biodata.similarity.kmers import kmer_hashes_at

KMERS = 48
_PIECE = 1 << 20  # letters hashed at once: some 100 MB of temporary arrays
_SHORTEST = 8  # fewest letters in a protein k-mer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One look at all rows.

    Attributes:
        folder: for its files.
        letters: folder of the sequences.
        k: letters of a k-mer.
        seed: of the hash.
        partitions: a power of two; k-mers of a partition are compared together.
    """

    folder: Path
    letters: Path
    alphabet: str
    k: int
    seed: int
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows that are sketched together."""

    of: Pass
    number: int
    start: int
    stop: int

    @property
    def path(self) -> Path:
        """Where each partition starts, then uint64 hashes and uint32 rows, sorted by partition."""
        return self.of.folder / f"sketch-{self.number:05d}.bin"


def kmer_length(letters: int, alphabet: str) -> int:
    """The k for which a k-mer of a random sequence is at few other places among so many letters.

    >>> kmer_length(10**6, "dna"), kmer_length(5 * 10**9, "dna"), kmer_length(10**9, "protein")
    (13, 19, 8)
    """
    if alphabet in NUCLEOTIDES:
        strands = 2 if alphabet == "dna" else 1
        return min(31, max(13, math.ceil(math.log(10 * strands * max(letters, 1), 4))))
    # 18, not 20: letters are not equally frequent
    return max(_SHORTEST, math.ceil(math.log(max(letters, 1) / 10, 18)))


def sketch_block(block: Block) -> int:
    """Writes the sketches of some rows; how many k-mers they hold."""
    how = block.of
    if block.path.is_file():
        return _entries(block.path, how.partitions)
    letters = open_letters(how.letters)
    parts = [_sketched(letters, start, stop, how)
             for start, stop in _pieces(letters.offsets, block.start, block.stop)]  # fmt: skip
    hashes, rows = (np.concatenate(column) for column in zip(*parts))
    part = (hashes & np.uint64(how.partitions - 1)).astype(np.int64)
    order = np.argsort(part, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=how.partitions))]).astype(np.int64)
    with atomic_path(block.path) as path, open(path, "wb") as handle:
        for array in (starts, hashes[order], rows[order].astype(np.uint32)):
            array.tofile(handle)
    return len(hashes)


def read_partition(path: Path, number: int, partitions: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and rows of one partition of a block.

    Args:
        path: file of a block.
        number: of the partition, 0-based.
        partitions: how many the block was written in.
    """
    with open(path, "rb") as handle:
        starts = np.fromfile(handle, np.int64, partitions + 1)
        first, last = int(starts[number]), int(starts[number + 1])
        head = starts.nbytes
        handle.seek(head + 8 * first)
        hashes = np.fromfile(handle, np.uint64, last - first)
        handle.seek(head + 8 * int(starts[-1]) + 4 * first)
        return hashes, np.fromfile(handle, np.uint32, last - first)


def _entries(path: Path, partitions: int) -> int:
    with open(path, "rb") as handle:
        return int(np.fromfile(handle, np.int64, partitions + 1)[-1])


def _pieces(offsets: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    pieces = []
    while start < stop:
        end = int(np.searchsorted(offsets, offsets[start] + _PIECE, side="right")) - 1
        end = min(max(end, start + 1), stop)
        pieces.append((start, end))
        start = end
    return pieces


def _sketched(letters: Letters, start: int, stop: int, how: Pass) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and rows of the k-mers taken from some rows; of a long row piece by piece."""
    offsets = letters.offsets[start : stop + 1]
    lengths = np.diff(offsets)
    share = np.minimum(1.0, KMERS / np.maximum(lengths - how.k + 1, 1))
    least = np.where(share < 1, share * 2.0**64, 2.0**64 - 2048).astype(np.uint64)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for first in range(int(offsets[0]), int(offsets[-1]), _PIECE):
        last = min(first + _PIECE + how.k - 1, int(offsets[-1]))
        if last - first < how.k:
            continue
        piece = letters.piece(first, last)
        hashes, fine = kmer_hashes_at(piece, k=how.k, alphabet=how.alphabet, seed=how.seed)
        at = np.arange(first, first + len(hashes))
        row = np.searchsorted(offsets, at, side="right") - 1
        fine &= (at + how.k <= offsets[row + 1]) & (hashes <= least[row])
        found.append((hashes[fine], row[fine] + start))
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
