"""Longest common pieces of two texts, exactly, by sorting suffixes (matching statistics)."""

from __future__ import annotations

import numpy as np

from bioeval.metrics.sequence_set import SequenceSet

_BLOCK = 1 << 22
_STEP = 32
_PAIRS = 1 << 15  # pairs of suffixes at a time: their letters stay in the cache


def longest_matches(queries: SequenceSet, targets: SequenceSet) -> np.ndarray:
    """Letters of the longest piece that begins at each position of the queries and occurs in the targets.

    Exact, whatever the length: suffixes of both are sorted by prefix doubling (Manber and Myers 1993,
    doi:10.1137/0222058) and the neighbours of a query's suffix among those of the targets are compared with
    it letter by letter. A letter that is none ends a match. Time n log n; memory does not grow with the
    targets, which are taken some million letters at a time (and no match is lost at the borders of blocks
    as long as it is shorter than 4,096 letters).

    Args:
        queries: the set that is asked about.
        targets: of the same alphabet.

    Returns:
        int64 [positions of `queries.codes`]; 0 at separators.

    >>> found = longest_matches(SequenceSet.from_strings(["TACGT"]), SequenceSet.from_strings(["GGACGA"]))
    >>> found.tolist()
    [0, 3, 2, 1, 0, 0]
    """
    best = np.zeros(len(queries.codes), dtype=np.int64)
    overlap = 1 << 12
    for start in range(0, len(targets.codes), _BLOCK):
        block = targets.codes[start : start + _BLOCK + overlap]
        best = np.maximum(best, _against(queries.codes, block, queries.other))
    return best


def longest_of_rows(sequences: SequenceSet, matches: np.ndarray) -> np.ndarray:
    """The largest value of each sequence, int64 [n], 0 of an empty one.

    >>> longest_of_rows(SequenceSet.from_strings(["AC", "", "G"]), np.array([1, 4, 0, 0, 7, 0])).tolist()
    [4, 0, 7]
    """
    result = np.zeros(len(sequences), dtype=np.int64)
    np.maximum.at(result, sequences.rows_of_positions(), matches)
    return result


def suffix_order(codes: np.ndarray, letters: int) -> np.ndarray:
    """Places of the suffixes of a text in alphabetical order, int64.

    Args:
        codes: uint8, letters 0 to `letters`.
        letters: the largest code.

    >>> suffix_order(np.array([1, 0, 1, 0, 0], dtype=np.uint8), 1).tolist()
    [4, 3, 1, 2, 0]
    >>> suffix_order(np.array([0, 1, 0, 1], dtype=np.uint8), 1).tolist()
    [2, 0, 3, 1]
    """
    rank, width = _first_ranks(codes, letters)
    order = np.argsort(rank, kind="stable")
    while width < len(codes):
        sorted_rank = rank[order]
        fresh = np.concatenate([[0], np.cumsum(sorted_rank[1:] != sorted_rank[:-1])])
        if fresh[-1] == len(codes) - 1:
            break
        rank = np.empty(len(codes), dtype=np.int64)
        rank[order] = fresh + 1
        behind = np.zeros(len(codes), dtype=np.int64)
        behind[:-width] = rank[width:]
        # only suffixes that share their rank with another are sorted again
        tied = _tied(fresh)
        places = order[tied]
        keys = rank[places] * (len(codes) + 1) + behind[places]
        order[tied] = places[np.argsort(keys, kind="stable")]
        rank = rank * (len(codes) + 1) + behind
        width *= 2
    return order


def _first_ranks(codes: np.ndarray, letters: int) -> tuple[np.ndarray, int]:
    """Numbers of the first letters of every suffix, in order of the alphabet, the end before any letter."""
    bits = int(letters + 1).bit_length()
    width = 62 // bits
    padded = np.zeros(len(codes) + width, dtype=np.int64)
    padded[: len(codes)] = codes.astype(np.int64) + 1
    rank = np.zeros(len(codes), dtype=np.int64)
    for offset in range(width):
        rank = (rank << bits) | padded[offset : offset + len(codes)]
    return rank, width


def _tied(groups: np.ndarray) -> np.ndarray:
    """Whether a sorted value has a neighbour like it."""
    same = groups[1:] == groups[:-1]
    return np.concatenate([same, [False]]) | np.concatenate([[False], same])


def _against(queries: np.ndarray, targets: np.ndarray, other: int) -> np.ndarray:
    """`longest_matches` in one block of targets."""
    text = np.concatenate([queries, targets])
    order = suffix_order(text, other)
    is_target = order >= len(queries)
    ranks = np.arange(len(order))
    before = np.maximum.accumulate(np.where(is_target, ranks, -1))
    after = np.minimum.accumulate(np.where(is_target, ranks, len(order))[::-1])[::-1]
    asked = np.flatnonzero(~is_target)
    best = np.zeros(len(queries), dtype=np.int64)
    for neighbour in (before[asked], after[asked]):
        known = (neighbour >= 0) & (neighbour < len(order))
        places = order[asked[known]]
        found = common_prefixes(text, places, order[neighbour[known]], other)
        best[places] = np.maximum(best[places], found)
    return best


def common_prefixes(text: np.ndarray, first: np.ndarray, second: np.ndarray, other: int) -> np.ndarray:
    """Letters that pairs of suffixes of a text share at their beginning, int64.

    Args:
        text: uint8 codes.
        first: places of suffixes.
        second: as many, each compared with its partner.
        other: the code that is like nothing, not even itself.

    >>> common_prefixes(np.array([0, 1, 0, 1, 4], dtype=np.uint8), np.array([0]), np.array([2]), 4).tolist()
    [2]
    """
    padded = np.concatenate([text, np.full(_STEP, other, dtype=np.uint8)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _STEP)
    parts = (slice(start, start + _PAIRS) for start in range(0, len(first), _PAIRS))
    shared = [_shared(windows, first[part], second[part], other) for part in parts]
    return np.concatenate([np.zeros(0, dtype=np.int64), *shared])


def _shared(windows: np.ndarray, first: np.ndarray, second: np.ndarray, other: int) -> np.ndarray:
    """`common_prefixes` of some pairs; `windows` has the next letters at every place."""
    length = np.zeros(len(first), dtype=np.int64)
    left = np.arange(len(first))
    while len(left):
        a, b = windows[first[left] + length[left]], windows[second[left] + length[left]]
        differs = (a != b) | (a == other)
        ends = differs.any(axis=1)
        length[left] += np.where(ends, differs.argmax(axis=1), _STEP)
        left = left[~ends]
    return length
