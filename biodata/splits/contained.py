"""Test rows that lie in training records, whole or for the most part, wherever and on whichever strand.

The question of a pretraining set is one-sided: a test row of 300 letters inside a chromosome has been seen,
although it covers nothing of the chromosome. Long records are cut into overlapping windows, in which MMseqs2
looks for the test rows; short test rows are looked for without loss (pigeonhole: of e + 1 pieces one is
unchanged); of a seeded sample of the rest every letter of the records is compared by edit distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import edlib
import numpy as np
import pyarrow as pa

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError
from biodata.similarity.pairwise import EPSILON, most_edits, windows_of
from biodata.similarity.search import NO_HITS, Hits, audit_settings, lengths_of, search, select
from biodata.similarity.short import short_below
from biodata.similarity.tokens import token_letters
from biodata.splits.exact import ExactSettings, exact_check

PIECE = 4096
"""Longer test rows are looked for in pieces of this many letters."""
_PART = 1 << 22  # letters whose stretches are indexed at once
_EXACT_SECONDS = 2e-9  # nominal, of one letter against 64
_SAMPLE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainedSettings:
    """What counts as contained.

    Attributes:
        identity: least identity of the alignment, above 0, at most 1.
        coverage: least fraction of the test row in it, above 0, at most 1.
        effort: nominal core-seconds of the exact comparison.
    """

    alphabet: str
    identity: float
    coverage: float
    effort: float
    seed: int
    threads: int

    def __post_init__(self) -> None:
        for name in ("identity", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: above 0, at most 1")


def pieces_of(rows: pa.ChunkedArray, *, size: int, overlap: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Stretches of `size` letters of every row, the rows they are of, and where they begin.

    Args:
        rows: normalised sequences.
        size: letters of a piece, at least 1; the last of a row may be shorter.
        overlap: letters that neighbouring pieces share, below `size`.

    >>> pieces_of(pa.chunked_array([["ABCDE", "FG"]]), size=3, overlap=1)[0]
    ['ABC', 'CDE', 'FG']
    """
    texts, owner, starts = [], [], []
    for row, text in enumerate(rows.to_pylist()):
        last = max(1, len(text) - overlap)
        for start in range(0, last, size - overlap):
            texts.append(text[start : start + size])
            owner.append(row)
            starts.append(start)
    return texts, np.array(owner, np.int64), np.array(starts, np.int64)


def contained(tests: list[str], records: pa.ChunkedArray, how: ContainedSettings, workdir: Path) -> Hits:
    """Pairs of a test piece and a record that contains it, by MMseqs2 and without loss for short pieces.

    Args:
        tests: normalised pieces of at most `PIECE` letters, none empty.
        records: normalised, none empty.
    """
    longest = max(map(len, tests), default=0)
    overlap = math.ceil(longest / how.identity) + 1
    texts, owner, _ = pieces_of(records, size=max(2000, 4 * overlap), overlap=overlap)
    lengths = np.array([len(text) for text in tests])
    searched = np.flatnonzero(lengths >= min(short_below(how.alphabet), 1 << 31))
    parts = [_short(tests, np.flatnonzero(lengths < short_below(how.alphabet)), texts, how)]
    if len(searched):
        everything = pa.chunked_array(
            [pa.array(tests, pa.large_string()), pa.array(texts, pa.large_string())]
        )
        settings = audit_settings(alphabet=how.alphabet, identity=how.identity, coverage=how.coverage)
        found, _ = search(everything, settings.covering("query"), alphabet=how.alphabet, queries=searched,
                          targets=np.arange(len(tests), len(everything)), workdir=workdir,
                          threads=how.threads)  # fmt: skip
        found = Hits(found.query, found.target - len(tests), found.identity)
        parts.append(_decided(found, tests, texts, how))
    hits = Hits(*(np.concatenate(columns) for columns in zip(*parts)))
    return Hits(hits.query, owner[hits.target], hits.identity)


def alike_molecules(tests: list[str], records: pa.ChunkedArray, how: ContainedSettings) -> Hits:
    """Pairs of a test molecule and a record that are alike as wholes, every pair decided by edit distance.

    A part says nothing of a molecule (ethanol is in nearly all), so coverage is that of both.

    Args:
        tests: SELFIES, none empty.
        records: SELFIES, none empty.
        how: least identity of the tokens, and least coverage.
    """
    asked = pa.array(tests, pa.large_string())
    texts = [text for part in (asked, records) for text in token_letters(part, of=asked).to_pylist()]
    split = np.repeat(np.array([2, 0], np.int8), [len(tests), len(records)])
    settings = ExactSettings(identity=how.identity, coverage=how.coverage, both_strands=False, q=3,
                             effort=math.inf, seed=how.seed)  # fmt: skip
    found = exact_check(texts, split, settings).hits
    return Hits(found.query, found.target - len(tests), found.identity)


def infix_identity(short: str, long: str, how: ContainedSettings) -> float:
    """Identity of the best place of `short` in `long`, of the better strand for DNA; 0 below the threshold.

    Args:
        short: what is looked for, whole.
        long: where, anywhere in it.
        how: least identity, and the alphabet.

    >>> how = ContainedSettings(alphabet="dna", identity=0.9, coverage=0.8, effort=0, seed=0, threads=1)
    >>> infix_identity("ACGTTGCAAC", "TTTTACGTTGCATCTTT", how)
    0.9
    """
    best = 0.0
    for text in (short, reverse_complement(short)) if how.alphabet == "dna" else (short,):
        found = edlib.align(text, long, mode="HW", task="distance", k=most_edits(len(text), how.identity))
        if found["editDistance"] >= 0:
            best = max(best, 1 - found["editDistance"] / len(text))
    return best if best >= how.identity - EPSILON else 0.0


def exact_sample(
    tests: list[str], records: pa.ChunkedArray, how: ContainedSettings
) -> tuple[np.ndarray, Hits]:
    """A seeded sample of test pieces compared with every letter of the records, as far as the effort goes.

    Args:
        tests: pieces of test rows, upper case.
        records: training records, normalised.
        how: thresholds, seed, and nominal core-seconds to spend.
    """
    letters = int(lengths_of(records).sum())
    strands = 2 if how.alphabet == "dna" else 1
    order = np.random.default_rng(how.seed).permutation(len(tests))[:_SAMPLE]
    texts, spent, done = records.to_pylist(), 0.0, 0
    found: list[tuple[int, int, float]] = []
    for row in order.tolist():
        cost = letters * strands * math.ceil(len(tests[row]) / 64) * _EXACT_SECONDS
        if spent + cost > how.effort:
            break
        spent, done = spent + cost, done + 1
        for number, text in enumerate(texts):
            if value := infix_identity(tests[row], text, how):
                found.append((row, number, value))
    columns = list(zip(*found)) or [(), (), ()]
    hits = Hits(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], float))
    return order[:done], hits


def _decided(hits: Hits, tests: list[str], texts: list[str], how: ContainedSettings) -> Hits:
    """Hits at the threshold; those just below it, where a local alignment may end early, by edit distance."""
    value = hits.identity.copy()
    for at in np.flatnonzero((value < how.identity - EPSILON) & (value >= how.identity - 0.03)).tolist():
        value[at] = infix_identity(tests[hits.query[at]], texts[hits.target[at]], how)
    hits = Hits(hits.query, hits.target, value)
    return select(hits, value >= how.identity - EPSILON)


def _short(tests: list[str], rows: np.ndarray, texts: list[str], how: ContainedSettings) -> Hits:
    """Every pair of a short test row and a text that contains it."""
    groups: dict[int, list[tuple[int, bytes]]] = {}
    for row in rows.tolist():
        text = tests[row]
        size = max(1, len(text) // (most_edits(len(text), how.identity) + 1))
        for strand in (text, reverse_complement(text)) if how.alphabet == "dna" else (text,):
            pieces = (strand[at : at + size] for at in range(0, len(strand) - size + 1, size))
            groups.setdefault(size, []).extend((row, piece.encode("latin-1")) for piece in pieces)
    pairs: set[tuple[int, int]] = set()
    for first, part in _parts(texts):
        for size, pieces in groups.items():
            pairs |= {(row, first + text) for row, text in _sharing(pieces, part, size)}
    values = [(row, text, infix_identity(tests[row], texts[text], how)) for row, text in sorted(pairs)]
    kept = [item for item in values if item[2]]
    if not kept:
        return NO_HITS
    query, target, identity = zip(*kept)
    return Hits(np.array(query), np.array(target), np.array(identity))


def _parts(texts: list[str]) -> list[tuple[int, list[str]]]:
    """Consecutive texts of about `_PART` letters each, with the number of the first."""
    ends = np.cumsum([len(text) for text in texts])
    cuts = np.searchsorted(ends, np.arange(_PART, int(ends[-1]) if len(ends) else 0, _PART))
    bounds = [0, *np.unique(cuts).tolist(), len(texts)]
    return [(low, texts[low:high]) for low, high in pairwise(bounds) if high > low]


def _sharing(pieces: list[tuple[int, bytes]], texts: list[str], size: int) -> set[tuple[int, int]]:
    code, text, _ = windows_of(texts, size)
    wanted, of, _ = windows_of([piece.decode("latin-1") for _, piece in pieces], size)
    rows = np.array([row for row, _ in pieces], np.int64)[of]
    order = np.argsort(wanted, kind="stable")
    here = np.isin(code, wanted)
    code, text = code[here], text[here]
    low = np.searchsorted(wanted[order], code, side="left")
    high = np.searchsorted(wanted[order], code, side="right")
    count = high - low
    at = np.repeat(low, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    keys = np.unique(np.stack([rows[order][at], np.repeat(text, count)]), axis=1)
    return set(zip(keys[0].tolist(), keys[1].tolist()))
