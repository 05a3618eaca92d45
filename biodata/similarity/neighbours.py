"""Pairs of short sequences one edit apart, in time linear in their number: the deletion neighbourhood.

Two sequences within one substitution, insertion or deletion become equal when one letter of either or of both
is left out (Mor & Fraenkel 1982, doi:10.1093/comjnl/25.4.336, for one error). The pigeonhole of
`biodata.similarity.pairwise` would do, but the pieces of CDR3s, which nearly all begin with CASS, belong to
too many.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from biodata.alphabet import reverse_complement
from biodata.arrays import distinct

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def one_edit_candidates(
    shorts: list[str], targets: list[str], *, edits: int, both_strands: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (short, target) of which the short may lie in the target with at most `edits`, 0 or 1.

    Args:
        shorts: of one length.
        targets: not shorter; the short is compared with every stretch of them that one edit allows.

    >>> found = one_edit_candidates(["CASSF"], ["CATSF", "CASSLF", "CAF"], edits=1, both_strands=False)
    >>> sorted({(int(a), int(b)) for query, target in found for a, b in zip(query, target)})
    [(0, 0), (0, 1)]
    """
    length = len(shorts[0])
    strands = [shorts, *([[reverse_complement(text) for text in shorts]] if both_strands else [])]
    whole, less, more = (_stretches(targets, length + step) for step in (0, -1, 1))
    for strand in strands:
        letters = _letters(strand, length)
        yield from _equal(_codes(letters), None, [(_codes(whole[0]), whole[1])])
        if edits:
            dropped, _ = _deletions(letters)
            rows = np.repeat(np.arange(len(strand)), length)
            pools = [(_codes(less[0]), less[1]), _with_rows(whole)]
            yield from _equal(dropped, rows, pools)
            yield from _equal(_codes(letters), None, [_with_rows(more)])


def _letters(texts: list[str], length: int) -> np.ndarray:
    return np.frombuffer("".join(texts).encode("latin-1"), np.uint8).reshape(len(texts), length)


def _stretches(texts: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Letters of every stretch of `size`, one a row, and the text of each."""
    if size < 1:
        return np.zeros((0, 0), np.uint8), np.zeros(0, np.int64)
    data = np.frombuffer(("\n".join(texts) + "\n" * size).encode("latin-1"), np.uint8)
    view = np.lib.stride_tricks.sliding_window_view(data, size)
    lengths = np.array([len(text) for text in texts], np.int64)
    starts = np.cumsum(lengths + 1) - lengths - 1
    count = np.maximum(lengths - size + 1, 0)
    owner = np.repeat(np.arange(len(texts)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return view[starts[owner] + offset], owner


def _codes(letters: np.ndarray) -> np.ndarray:
    code = np.zeros(len(letters), np.uint64)
    for column in range(letters.shape[1]):
        code = code * _MULTIPLIER + letters[:, column]
    return code


def _deletions(letters: np.ndarray) -> tuple[np.ndarray, int]:
    """Codes of every row with each letter left out in turn, row by row."""
    length = letters.shape[1]
    code = np.zeros((len(letters), length), np.uint64)
    for column in range(length):
        left_out = np.arange(length) == column
        step = np.where(left_out[None, :], code, code * _MULTIPLIER + letters[:, column : column + 1])
        code = step
    return code.reshape(-1), length


def _with_rows(stretches: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    codes, length = _deletions(stretches[0])
    return codes, np.repeat(stretches[1], length)


def _equal(
    codes: np.ndarray, rows: np.ndarray | None, pools: list[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Distinct pairs of a row and a pool's row with equal codes."""
    rows = np.arange(len(codes)) if rows is None else rows
    for pool, owner in pools:
        order = np.argsort(pool, kind="stable")
        pool, owner = pool[order], owner[order]
        low, high = np.searchsorted(pool, codes, side="left"), np.searchsorted(pool, codes, side="right")
        count = high - low
        at = np.repeat(low, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        query, target = np.repeat(rows, count), owner[at]
        width = np.int64(owner.max(initial=0)) + 1
        yield np.divmod(distinct(query * width + target), width)
