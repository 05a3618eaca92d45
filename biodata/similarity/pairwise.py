"""Exact edit-distance comparison of two sequences, and of every short sequence with all others.

The shorter sequence is aligned whole, inside the longer one (edlib's `HW` mode, Sosic & Sikic 2017,
doi:10.1093/bioinformatics/btw753). Identity = matching columns / columns of that alignment; coverage = the
stretch of the longer sequence in the alignment / its length (the shorter one is always covered whole).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, groupby

import edlib
import numpy as np

from biodata.alphabet import reverse_complement
from biodata.arrays import distinct
from biodata.similarity.neighbours import one_edit_candidates
from biodata.similarity.search import NO_HITS, Hits, merge_hits

EPSILON = 1e-9  # thresholds such as 0.9 are no binary fractions
_CIGAR = re.compile(r"(\d+)([=XID])")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MAX_CANDIDATES = 4_000_000


def most_edits(length: int, identity: float) -> int:
    """The most edits that a whole sequence of this length can have in an alignment of this identity.

    An edit adds at most one column, so matches / columns >= identity gives
    edits <= (1 - identity) / identity * length.

    >>> most_edits(90, 0.9), most_edits(14, 0.9)
    (10, 1)
    """
    return int((1 - identity) / identity * length + EPSILON)


def alignment_identity(a: str, b: str, *, identity: float, coverage: float) -> float:
    """Identity of the best alignment of the shorter sequence inside the longer.

    Args:
        identity: alignments below it are not looked for.
        coverage: least fraction of the longer sequence in the alignment.

    Returns:
        Identity, 0 to 1; 0 when it or the coverage is too small.

    >>> alignment_identity("ACGTACGTAC", "ACGTACGTAG", identity=0.9, coverage=0.8)
    0.9
    >>> alignment_identity("ACGTA", "ACGTACGTAG", identity=0.9, coverage=0.8)
    0.0
    """
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    edits = most_edits(len(short), identity)
    if len(short) + edits < coverage * len(long) - EPSILON:
        return 0.0
    found = edlib.align(short, long, mode="HW", task="path", k=edits)
    if found["editDistance"] < 0:
        return 0.0
    counts = dict.fromkeys("=XID", 0)
    for number, kind in _CIGAR.findall(found["cigar"]):
        counts[kind] += int(number)
    columns = sum(counts.values())
    span = columns - counts["I"]
    value = counts["="] / columns
    return value if value >= identity - EPSILON and span >= coverage * len(long) - EPSILON else 0.0


def best_identity(a: str, b: str, *, identity: float, coverage: float, both_strands: bool) -> float:
    """`alignment_identity`, of the better strand if both are asked for, whatever the order.

    Args:
        a: one sequence, upper case.
        b: the other.
        identity: least identity looked for, above 0, at most 1; below it the result is 0.
        coverage: least length of the shorter as a fraction of the longer, above 0, at most 1.
        both_strands: also compare the reverse complement.
    """
    a, b = sorted((a, b), key=lambda text: (len(text), text))
    value = alignment_identity(a, b, identity=identity, coverage=coverage)
    if value < 1 and both_strands:
        other = alignment_identity(reverse_complement(a), b, identity=identity, coverage=coverage)
        value = max(value, other)
    return value


def short_pairs(
    texts: list[str], *, below: int, identity: float, coverage: float, both_strands: bool = False
) -> Hits:
    """Every pair that is alike and whose shorter sequence has fewer than `below` letters, without loss.

    A sequence with e edits allowed, cut into e + 1 pieces, has one piece unchanged in any sequence like it,
    at most e places from where it was (pigeonhole). Pairs that share a piece are aligned. Where only one edit
    is allowed, as in most CDR3s, pairs come from the deletion neighbourhood instead
    (`biodata.similarity.neighbours`).

    Args:
        texts: normalised sequences; equal ones are compared once.
        below: length, the others are only found as the longer sequence of a pair.

    Returns:
        Pairs of positions in `texts`, lower first.

    >>> short_pairs(["ACGTACGTAC", "ACGTACGTAG", "TTTTTTTTTT"], below=20, identity=0.9, coverage=0.8)[:2]
    (array([0]), array([1]))
    """
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
    firsts, copies = _distinct(texts, order)
    unique = [texts[row] for row in firsts]
    lengths = np.array([len(text) for text in unique], np.int64)
    parts = [copies if len(texts) and (lengths < below).any() else NO_HITS]
    rows = np.array(firsts, np.int64)
    for length in np.unique(lengths[lengths < below]):
        edits = most_edits(int(length), identity)
        longest = (length + edits) / coverage + EPSILON
        low = np.searchsorted(lengths, length, side="left")
        high = np.searchsorted(lengths, longest, side="right")
        shorts = np.arange(low, np.searchsorted(lengths, length, side="right"))
        for query, target in _candidates(unique, shorts, np.arange(low, high), edits, both_strands):
            found = _align(unique, query, target, identity, coverage, both_strands)
            parts.append(Hits(rows[found.query], rows[found.target], found.identity))
    hits = merge_hits(*parts)
    return _with_copies(hits, copies)


def _distinct(texts: list[str], order: list[int]) -> tuple[list[int], Hits]:
    firsts: list[int] = []
    pairs: list[tuple[int, int]] = []
    for _, group in groupby(order, key=texts.__getitem__):
        rows = list(group)
        firsts.append(rows[0])
        pairs += combinations(rows, 2)
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return firsts, Hits(array[:, 0], array[:, 1], np.ones(len(array)))


def _with_copies(hits: Hits, copies: Hits) -> Hits:
    # A pair of distinct texts stands for all pairs of their copies.
    if not len(copies.query) or not len(hits.query):
        return hits
    extra: list[tuple[int, int, float]] = []
    of: dict[int, list[int]] = {}
    later = set(copies.target.tolist())
    for first, copy in zip(copies.query.tolist(), copies.target.tolist()):
        if first not in later:
            of.setdefault(first, []).append(copy)
    for a, b, value in zip(hits.query.tolist(), hits.target.tolist(), hits.identity.tolist()):
        if value == 1 and (a in later or b in later):
            continue  # a pair of copies itself
        lefts, rights = [a, *of.get(a, [])], [b, *of.get(b, [])]
        extra += [(x, y, value) for x in lefts for y in rights if x != y]
    if not extra:
        return hits
    left, right, identity = zip(*extra)
    return merge_hits(hits, Hits(np.array(left), np.array(right), np.array(identity)))


def _candidates(
    texts: list[str], shorts: np.ndarray, targets: np.ndarray, edits: int, both_strands: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of pairs that share a piece, each pair once in a block."""
    if edits <= 1:
        yield from _one_edit(texts, shorts, targets, edits, both_strands)
        return
    length = len(texts[shorts[0]])
    size = max(1, length // (edits + 1))
    strands = [[texts[row] for row in shorts]]
    if both_strands:
        strands.append([reverse_complement(text) for text in strands[0]])
    windows = windows_of([texts[row] for row in targets], size)
    target_lengths = np.array([len(texts[row]) for row in targets])
    pairs: list[np.ndarray] = []
    held = 0
    for number in range(min(edits + 1, length // size)):
        at = number * size
        pool = _placed(windows, target_lengths, at - edits, at - length + edits)
        for strand in strands:
            codes = _codes(
                np.array([list(text[at : at + size].encode("latin-1")) for text in strand], np.uint8)
            )
            for block in _joined(codes, *pool):
                query, target = shorts[block[0]], targets[block[1]]
                key = np.minimum(query, target) * len(texts) + np.maximum(query, target)
                pairs.append(distinct(key[query != target]))
                held += len(pairs[-1])
                if held > _MAX_CANDIDATES:
                    yield np.divmod(distinct(np.concatenate(pairs)), len(texts))
                    pairs, held = [], 0
    if pairs:
        yield np.divmod(distinct(np.concatenate(pairs)), len(texts))


def _one_edit(
    texts: list[str], shorts: np.ndarray, targets: np.ndarray, edits: int, both_strands: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    found = one_edit_candidates([texts[row] for row in shorts], [texts[row] for row in targets], edits=edits,
                                both_strands=both_strands)  # fmt: skip
    keys = []
    for block in found:
        query, target = shorts[block[0]], targets[block[1]]
        key = np.minimum(query, target) * len(texts) + np.maximum(query, target)
        keys.append(key[query != target])
    if keys:
        yield np.divmod(distinct(np.concatenate(keys)), len(texts))


def windows_of(texts: list[str], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hash, row and position of every stretch of `size` letters."""
    data = np.frombuffer("\n".join(texts).encode("latin-1"), np.uint8)
    if len(data) < size:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    view = np.lib.stride_tricks.sliding_window_view(data, size)
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
    lengths = np.array([len(text) for text in texts])
    count = np.maximum(lengths - size + 1, 0)
    row = np.repeat(np.arange(len(texts)), count)
    position = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    code = np.zeros(len(row), np.uint64)
    at = starts[row] + position
    for letter in range(size):
        code = code * _MULTIPLIER + view[at, letter]
    return code, row, position


def _codes(letters: np.ndarray) -> np.ndarray:
    code = np.zeros(len(letters), np.uint64)
    for column in range(letters.shape[1]):
        code = code * _MULTIPLIER + letters[:, column]
    return code


def _placed(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray], lengths: np.ndarray, first: int, slack: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes, sorted, and rows of the stretches where an unchanged piece may lie."""
    code, row, position = windows
    keep = (position >= first) & (position <= lengths[row] + slack)
    code, row = code[keep], row[keep]
    order = np.argsort(code, kind="stable")
    return code[order], row[order]


def _joined(codes: np.ndarray, pool: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of equal hashes, in blocks of bounded size."""
    low, high = np.searchsorted(pool, codes, side="left"), np.searchsorted(pool, codes, side="right")
    ends = np.cumsum(high - low)
    start = 0
    while start < len(codes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _MAX_CANDIDATES, side="right")))
        count = (high - low)[start:stop]
        query = np.repeat(np.arange(start, stop), count)
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        yield query, rows[np.repeat(low[start:stop], count) + offset]
        start = stop


def _align(
    texts: list[str], query: np.ndarray, target: np.ndarray, identity: float, coverage: float,
    both_strands: bool,
) -> Hits:  # fmt: skip
    pairs = zip(query.tolist(), target.tolist())
    values = np.array([
        best_identity(texts[a], texts[b], identity=identity, coverage=coverage, both_strands=both_strands)
        for a, b in pairs
    ])  # fmt: skip
    keep = values > 0
    return Hits(query[keep], target[keep], values[keep])
