"""Clusters and similar pairs of a large set, in waves: few alignments a row, and none that tells nothing new.

First each row is aligned with the row it shares most k-mers with; then those candidates that are not yet
connected, directly or through others; after the split those that cross it, whatever connects them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from biodata.arrays import distinct
from biodata.large.candidates import find_candidates, partitions_of, read_pairs, remove_pass
from biodata.large.letters import Letters
from biodata.large.sketches import Pass, kmer_length
from biodata.large.verify import Likeness, verified
from biodata.similarity.cluster import renumbered, small_ints
from biodata.similarity.search import NO_HITS, Hits, keys_of, merge_hits, rows_of
from biodata.splits.repair import components

_LISTED = 100_000  # rows that are Python numbers at a time
_WAVE = 2_000_000  # pairs that are aligned before connections are looked at again


@dataclass(slots=True)
class Known:
    """Which pairs of a set were looked at.

    Attributes:
        tested: sorted keys of the pairs that were aligned, in parts that have none in common.
        candidates: pairs that came up, over all passes.
    """

    tested: list[np.ndarray] = field(default_factory=list)
    candidates: int = 0

    def add(self, query: np.ndarray, target: np.ndarray) -> None:
        """Takes over new pairs that were aligned."""
        self.tested.append(np.sort(keys_of(query, target)))

    def is_new(self, query: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Which pairs were not aligned yet."""
        keys = keys_of(query, target)
        new = np.ones(len(keys), bool)
        for tested in self.tested:
            at = np.minimum(np.searchsorted(tested, keys), max(len(tested) - 1, 0))
            new &= tested[at] != keys if len(tested) else True
        return new

    @property
    def aligned(self) -> int:
        """How many pairs were aligned."""
        return sum(map(len, self.tested))


def candidate_files(
    letters: Letters, by: Likeness, folder: Path, *, seed: int, executor: Executor | None
) -> list[Path]:
    """Candidate pairs of one pass; every seed looks at other k-mers, shorter ones from the second on.

    Args:
        letters: all rows, memory-mapped.
        by: when two rows are alike.
        folder: for the files of this pass, emptied of all but the candidates.
        seed: number of the pass, 0 or more.
        executor: where blocks of rows are worked on, None for this process.
    """
    k = kmer_length(int(letters.offsets[-1]), by.alphabet) - min(seed, 2)
    how = Pass(folder=folder.absolute(), letters=by.letters, alphabet=by.alphabet, k=k, seed=seed + 3,
               partitions=partitions_of(letters))  # fmt: skip
    ratio = by.sketch.identity * by.sketch.coverage
    files = find_candidates(letters, how, ratio=ratio, executor=executor)
    remove_pass(how, files)
    return files


def find_links(
    letters: Letters, by: Likeness, files: Sequence[Path], *, executor: Executor | None
) -> tuple[np.ndarray, Hits, Known]:
    """Cluster of every row, the pairs found alike (as many as connect what is alike), and all aligned.

    Args:
        letters: all rows, memory-mapped.
        by: when two rows are alike.
        files: candidate pairs (`candidate_files`).
        executor: where pairs are aligned, None for this process.
    """
    known = Known()
    found = verified(*_best_partners(letters.lengths, files, known), by, executor=executor,
                     what="aligning with the nearest")  # fmt: skip
    labels = _stars(letters.lengths, found)
    parts, root = [found], [components(len(letters), found.query, found.target)]
    for query, target in _waves(files, lambda a, b: root[0][a] != root[0][b], known):
        found = verified(query, target, by, executor=executor, what="aligning candidates")
        known.add(query, target)
        parts.append(found)
        root[0] = components(len(letters), root[0][found.query], root[0][found.target])[root[0]]
    root.clear()
    return labels, merge_hits(*parts), known


def find_crossing(
    split: np.ndarray, by: Likeness, files: Sequence[Path], known: Known, *, executor: Executor | None
) -> Hits:
    """Pairs in different splits that are alike and were not known: the rest that matters.

    Args:
        split: int8 [rows], 0 train, 1 validation, 2 test, below 0 purged.
        by: when two rows are alike.
        files: candidate pairs (`candidate_files`).
        known: pairs aligned before; those aligned now are added.
        executor: where pairs are aligned, None for this process.
    """
    parts = [NO_HITS]
    for query, target in _waves(files, lambda a, b: _crosses(split, a, b), known):
        found = verified(query, target, by, executor=executor, what="aligning across the split")
        known.add(query, target)
        parts.append(found)
    return merge_hits(*parts)


def _crosses(split: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (split[a] >= 0) & (split[b] >= 0) & (split[a] != split[b])


def _waves(
    files: Sequence[Path], wanted: Callable[[np.ndarray, np.ndarray], np.ndarray], known: Known
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Candidates that are wanted and new, some millions at a time; what is wanted may change in between."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for path in files:
        query, target, _ = read_pairs(path)
        keep = wanted(query, target)
        query, target = query[keep], target[keep]
        keep = known.is_new(query, target)
        held.append((query[keep], target[keep]))
        if sum(len(part[0]) for part in held) >= _WAVE:
            yield _joined(held)
            held = []
    if any(len(part[0]) for part in held):
        yield _joined(held)


def _joined(held: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs held, each once: two passes may bring up the same."""
    return rows_of(distinct(np.concatenate([keys_of(*pairs) for pairs in held])))


def _best_partners(lengths: np.ndarray, files: Sequence[Path], known: Known) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and for each the longer (of equals the earlier) row that shares most k-mers with it.

    Rows that share a partner follow each other; rows without any are left out. All become known.
    """
    best = np.full(len(lengths), -1, small_ints(len(lengths)))
    most = np.zeros(len(lengths), np.uint32)
    for path in files:
        a, b, counts = read_pairs(path)
        known.candidates += len(a)
        swap = lengths[b] > lengths[a]
        member, centre = np.where(swap, a, b), np.where(swap, b, a)
        order = np.lexsort((centre, -counts.astype(np.int64), member))
        member, centre, counts = member[order], centre[order], counts[order]
        first = np.ones(len(member), bool)
        first[1:] = member[1:] != member[:-1]
        member, centre, counts = member[first], centre[first], counts[first].astype(np.uint32)
        better = (counts > most[member]) | ((counts == most[member]) & (centre < best[member]))
        best[member[better]], most[member[better]] = centre[better], counts[better]
    rows = np.argsort(best, kind="stable")[np.count_nonzero(best < 0) :]
    partners = best[rows].astype(np.int64)
    known.add(rows, partners)
    return rows, partners


def _stars(lengths: np.ndarray, nearest: Hits) -> np.ndarray:
    """Clusters: from the longest row on, each joins the row nearest to it if that is a centre, or is one."""
    order = np.lexsort((nearest.query, -lengths[nearest.query]))
    label = np.arange(len(lengths))
    joined = np.zeros(len(lengths), bool)
    for start in range(0, len(order), _LISTED):
        at = order[start : start + _LISTED]
        for row, centre in zip(nearest.query[at].tolist(), nearest.target[at].tolist()):
            if not joined[centre]:
                label[row] = centre
                joined[row] = True
    return renumbered(label)
