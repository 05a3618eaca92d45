"""Compares long records by sketches of their k-mers, in time linear in their length.

Alignment is quadratic in length: rows of more than `LONG` letters are not aligned but compared by bottom
sketches, the smallest hashes of their distinct k-mers (Mash, Ondov et al. 2016,
doi:10.1186/s13059-016-0997-x). An approximation, on the side of caution: of a pair aligned at `identity`
over `coverage` of both, random substitutions leave a share coverage * identity^k of the k-mers of the smaller
set in common. A pair counts as alike from that share at `identity - MARGIN` on (but at least `_LEAST_SHARE`,
less cannot be told from chance), if its lengths allow the coverage. So a pair more alike over less of its
length counts too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from biodata.arrays import distinct
from biodata.mmseqs import NUCLEOTIDES
from biodata.similarity.kmers import kmer_hashes
from biodata.similarity.search import LONG, NO_HITS, Hits, lengths_of, merge_hits, select

MARGIN = 0.02
_LEAST_SHARE = 0.005
_HEAD = 1024  # of a sketch, where pairs are looked for: 28 or more shared are expected at the defaults
_CHUNK = 1 << 16  # its arrays stay in the processor's cache
_MOST_HASHES = 1 << 27  # held at once, 1 GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchSettings:
    """What is compared and what counts as alike.

    Attributes:
        identity: least identity of the alignment stood in for, above 0, at most 1.
        coverage: least fraction of both sequences in it, above 0, at most 1.
        k: letters of a k-mer, for nucleotides at most 31.
        size: most hashes of a sketch; fewer, but 1,024 or more, where very many rows are long.
        seed: of the hash.
        alphabet: k-mers of dna are those of either strand; ambiguous nucleotides are in none.
    """

    identity: float
    coverage: float
    k: int
    size: int
    seed: int
    alphabet: str

    @property
    def least(self) -> float:
        """The estimate of identity from which a pair counts as alike."""
        share = self.coverage * max(0.0, self.identity - MARGIN) ** self.k
        return max(share, _LEAST_SHARE) ** (1 / self.k)


class LongPairs(NamedTuple):
    """Pairs whose estimated identity is near or above the threshold, rows above `LONG`, pairs estimated."""

    hits: Hits
    rows: int
    pairs: int


def sketch_settings(*, alphabet: str, identity: float, coverage: float) -> SketchSettings:
    """The comparison that clusters and repairs.

    Args:
        alphabet: dna, rna, protein or selfies.
        identity: least identity of a pair, above 0, at most 1.
        coverage: least fraction of both sequences that is shared, above 0, at most 1.
    """
    return SketchSettings(identity=identity, coverage=coverage, k=21 if alphabet in NUCLEOTIDES else 9,
                          size=10_000, seed=1, alphabet=alphabet)  # fmt: skip


def second_settings(*, alphabet: str, identity: float, coverage: float) -> SketchSettings:
    """The second opinion of the audit: other k-mers, another hash, all k-mers of a row just above `LONG`.

    k = 17, not a longer one: a longer one cannot tell a repeat shared by two chromosomes (Ty elements of
    yeast at k = 31) from a divergent alignment of both.

    Args:
        alphabet: dna, rna, protein or selfies.
        identity: least identity of a pair, above 0, at most 1.
        coverage: least fraction of both sequences that is shared, above 0, at most 1.
    """
    return SketchSettings(identity=identity, coverage=coverage, k=17 if alphabet in NUCLEOTIDES else 12,
                          size=LONG, seed=2, alphabet=alphabet)  # fmt: skip


def mash_distance(jaccard: float, k: int) -> float:
    """Mutations per letter that leave two k-mer sets of one size this Jaccard index (Ondov 2016, eq. 4).

    >>> round(mash_distance(0.2, 21), 4), mash_distance(0.0, 21)
    (0.0523, inf)
    """
    return -math.log(2 * jaccard / (1 + jaccard)) / k if jaccard > 0 else math.inf


def bottom_sketch(letters: np.ndarray, how: SketchSettings) -> np.ndarray:
    """The smallest hashes of the distinct k-mers, sorted uint64; all of them if they are fewer than `size`.

    Args:
        letters: uint8 bytes of a normalised sequence.
    """
    kept = np.zeros(0, np.uint64)
    for start in range(0, len(letters) - how.k + 1, _CHUNK):
        part = letters[start : start + _CHUNK + how.k - 1]
        hashes = kmer_hashes(part, k=how.k, alphabet=how.alphabet, seed=how.seed)
        if len(kept) == how.size:
            hashes = hashes[hashes < kept[-1]]
        kept = distinct(np.concatenate([kept, hashes]))[: how.size]
    return kept


def estimated_identity(a: np.ndarray, b: np.ndarray, how: SketchSettings) -> float:
    """Identity of two sequences from their sketches, 0 to 1.

    The Jaccard index comes from the smallest hashes of the union, the shared share c of the smaller set from
    it and the sizes of the sets, less what random sequences of this length share; identity = c^(1/k), which
    for sets of one size is exp(-`mash_distance`).

    Args:
        a: uint64, the smallest hashes of one sequence, sorted (`bottom_sketch`).
        b: the same of the other.
        how: settings that both were made with.
    """
    union = np.concatenate([a, b])
    union.sort(kind="stable")
    same = union[1:] == union[:-1]
    distinct = np.concatenate([union[:1], union[1:][~same]])
    if len(a) >= how.size or len(b) >= how.size:
        distinct = distinct[: how.size]
    if not len(a) or not len(b):
        return 0.0
    shared = int((union[1:][same] <= distinct[-1]).sum())
    jaccard = shared / len(distinct)
    sizes = _set_size(a, how), _set_size(b, how)
    contained = jaccard / (1 + jaccard) * sum(sizes) / min(sizes)
    strands = 2 if how.alphabet == "dna" else 1
    random = strands * max(sizes) / 4**how.k if how.alphabet in NUCLEOTIDES else 0.0
    return min(1.0, max(0.0, contained - random) ** (1 / how.k))


def long_pairs(
    sequences: pa.ChunkedArray, how: SketchSettings, *, split: np.ndarray | None = None
) -> LongPairs:
    """Pairs of a row above `LONG` and another, from 0.1 below the threshold on; `alike` says which count.

    Rows somewhat shorter than `LONG` are compared with the longer ones, so that no pair falls between the two
    ways to compare. Lengths must allow the coverage with gaps counted: min / max >= identity * coverage.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`).
        split: only pairs in different splits are compared, rows below 0 not at all.
    """
    lengths = lengths_of(sequences)
    used = np.ones(len(lengths), bool) if split is None else split >= 0
    rows = np.flatnonzero(used & (lengths > LONG))
    if not len(rows):
        return LongPairs(NO_HITS, 0, 0)
    how = _bounded(how, len(rows))
    sketches = [_sketch_of(sequences, row, how) for row in rows.tolist()]
    index = _index(sketches)
    found: list[tuple[int, int, float]] = []
    pairs = 0
    for number, row, sketch in _queries(sequences, rows, sketches, used, how):
        others = _sharing(index, sketch, number)
        others = others[_comparable(lengths, row, rows[others], how)]
        if split is not None:
            others = others[split[rows[others]] != split[row]]
        pairs += len(others)
        for other in others.tolist():
            value = estimated_identity(sketch, sketches[other], how)
            if value >= how.least - 0.1:
                found.append((row, int(rows[other]), value))
    if not found:
        return LongPairs(NO_HITS, len(rows), pairs)
    left, right, values = zip(*found)
    hits = Hits(np.array(left, np.int64), np.array(right, np.int64), np.array(values))
    return LongPairs(merge_hits(hits), len(rows), pairs)


def alike(hits: Hits, how: SketchSettings) -> Hits:
    """The pairs that count."""
    return select(hits, hits.identity >= how.least)


def describe(found: LongPairs, how: SketchSettings) -> dict[str, Any]:
    """What a manifest says of a comparison: an approximation, for which rows, from which estimate on."""
    figures: dict[str, Any] = {"compared_by_sketch_above_length": LONG, "rows_compared_by_sketch": found.rows}
    if found.rows:
        figures["sketch"] = {"kmer": how.k, "hashes": _bounded(how, found.rows).size,
                             "pairs_estimated": found.pairs, "alike": len(alike(found.hits, how).query),
                             "alike_from_estimated_identity": round(how.least, 4),
                             "coverage": "approximated by lengths and share of common k-mers"}  # fmt: skip
    return figures


def greedy_clusters(labels: np.ndarray, links: Hits, lengths: np.ndarray) -> np.ndarray:
    """Labels with rows above `LONG` clustered: the longest takes all alike, then the longest of the rest.

    Args:
        labels: int64 [rows], the cluster of every row so far.
        links: similar pairs of rows.
        lengths: int64 [rows], letters.

    >>> links = Hits(np.array([0, 1]), np.array([1, 2]), np.ones(2))
    >>> greedy_clusters(np.arange(3), links, np.array([40_000, 50_000, 40_000]))
    array([1, 1, 1])
    """
    long = lengths > LONG
    links = select(links, long[links.query] & long[links.target])
    labels = labels.copy()
    free = long.copy()
    near: dict[int, list[int]] = {}
    for a, b in zip(links.query.tolist(), links.target.tolist()):
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    for row in sorted(near, key=lambda row: (-int(lengths[row]), row)):
        if free[row]:
            members = [row, *(other for other in near[row] if free[other])]
            labels[members] = labels[row]
            free[members] = False
    return labels


def _bounded(how: SketchSettings, rows: int) -> SketchSettings:
    size = max(_HEAD, min(how.size, _MOST_HASHES // rows))
    return replace(how, size=size)


def _sketch_of(sequences: pa.ChunkedArray, row: int, how: SketchSettings) -> np.ndarray:
    return bottom_sketch(np.frombuffer(sequences[row].as_buffer(), np.uint8), how)


def _queries(
    sequences: pa.ChunkedArray, rows: np.ndarray, sketches: list[np.ndarray], used: np.ndarray,
    how: SketchSettings,
) -> Iterator[tuple[int, int, np.ndarray]]:  # fmt: skip
    """Long rows, each to be compared with those before it; then shorter ones, with every long row."""
    for number, (row, sketch) in enumerate(zip(rows.tolist(), sketches)):
        yield number, row, sketch
    lengths = lengths_of(sequences)
    least = lengths[rows].min() * how.identity * how.coverage
    for row in np.flatnonzero(used & (lengths >= least) & (lengths <= LONG)).tolist():
        yield len(rows), row, _sketch_of(sequences, row, how)


class _Index(NamedTuple):
    """Which sketches have a hash at their head: `owners[starts[i] : starts[i + 1]]` have `hashes[i]`."""

    hashes: np.ndarray
    starts: np.ndarray
    owners: np.ndarray


def _index(sketches: list[np.ndarray]) -> _Index:
    heads = [sketch[:_HEAD] for sketch in sketches]
    flat = np.concatenate(heads)
    owners = np.repeat(np.arange(len(heads)), [len(head) for head in heads])
    order = np.argsort(flat, kind="stable")
    hashes, starts = np.unique(flat[order], return_index=True)
    return _Index(hashes, np.append(starts, len(flat)), owners[order])


def _sharing(index: _Index, sketch: np.ndarray, before: int) -> np.ndarray:
    """Numbers below `before` of the sketches that share a hash at their head."""
    if not len(index.hashes):
        return np.zeros(0, np.int64)
    head = sketch[:_HEAD]
    at = np.minimum(np.searchsorted(index.hashes, head), len(index.hashes) - 1)
    at = at[index.hashes[at] == head]
    spans = zip(index.starts[at].tolist(), index.starts[at + 1].tolist())
    parts = [index.owners[start:stop] for start, stop in spans]
    numbers = distinct(np.concatenate([np.zeros(0, np.int64), *parts]))
    return numbers[numbers < before]


def _comparable(lengths: np.ndarray, row: int, others: np.ndarray, how: SketchSettings) -> np.ndarray:
    short = np.minimum(lengths[row], lengths[others])
    return short >= how.identity * how.coverage * np.maximum(lengths[row], lengths[others])


def _set_size(sketch: np.ndarray, how: SketchSettings) -> float:
    """Distinct k-mers: counted where the sketch holds all, else from how dense the smallest hashes lie."""
    if len(sketch) < how.size:
        return len(sketch)
    return (len(sketch) - 1) / (int(sketch[-1]) / 2.0**64)
