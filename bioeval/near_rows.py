"""Which sequences have a near copy among others: an exhaustive search that no split was made with.

A sequence is near another when the shorter of the two lies inside the longer one with at most
`(1 - identity) * length of the shorter` edits and is at least `coverage` times as long. Pairs are first
sieved by shared q-grams: a sequence of m letters within k edits shares at least m - q + 1 - kq of its q-grams
(Jokinen & Ukkonen 1991, doi:10.1007/3-540-54345-7_67), so the sieve loses nothing. The rest is aligned by
edlib (Sosic & Sikic 2017, doi:10.1093/bioinformatics/btw753).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError
from biodata.mmseqs import normalised
from biodata.progress import progress
from biodata.similarity.search import SearchSettings, search
from bioeval.words import symbols_of

_BINS = 4096
_SINGLE = [chr(n) for n in range(33, 127)]


def leaking_rows(
    train: Sequence[str], test: Sequence[str], *, identity: float, coverage: float, both_strands: bool = False
) -> np.ndarray:
    """bool `[len(test)]`: whether a test sequence has a train sequence that near.

    Args:
        train: sequences; U counts as T, lower case as upper.
        test: sequences, the same.
        identity: least identity of a near copy, above 0, at most 1.
        coverage: least length of the shorter as a fraction of the longer, above 0, at most 1.
        both_strands: also compare reverse complements.

    >>> leaking_rows(["ACGUACGUAC"], ["ACGTACGTAG", "TTTTTTTTTT"], identity=0.9, coverage=0.8).tolist()
    [True, False]
    """
    for name, value in (("identity", identity), ("coverage", coverage)):
        if not 0 < value <= 1:
            raise ConfigError(f"{name} = {value}, allowed: above 0, at most 1")
    known = sorted({plain(s) for s in train}, key=lambda s: (len(s), s))
    asked = [plain(s) for s in test]
    if both_strands:
        known = sorted({*known, *map(reverse_complement, known)}, key=lambda s: (len(s), s))
    exact = set(known)
    found = np.array([s in exact for s in asked], dtype=bool)
    if identity < 1:
        near = _near(known, [asked[i] for i in np.flatnonzero(~found)], identity, coverage)
        found[~found] = near
    return found


def searched_rows(
    train: Sequence[str], test: Sequence[str], settings: SearchSettings, *, alphabet: str
) -> np.ndarray:
    """As `leaking_rows`, by MMseqs2: for many pairs, and it may miss some.

    Args:
        train: sequences looked among.
        test: sequences looked for.
        settings: what counts as alike.
        alphabet: of both.

    Returns:
        Which test rows have a near copy, bool `[len(test)]`.
    """
    column = normalised(pa.array([*train, *test], pa.large_string()), alphabet=alphabet)
    rows = np.arange(len(train) + len(test))
    with tempfile.TemporaryDirectory(prefix="seqloom-") as folder:
        hits, _ = search(
            column, settings, alphabet=alphabet, queries=rows[len(train) :], targets=rows[: len(train)],
            workdir=Path(folder),
        )  # fmt: skip
    found = np.zeros(len(test), dtype=bool)
    found[hits.query - len(train)] = True
    return found


def lettered(*texts: Sequence[str]) -> list[list[str]]:
    """SELFIES with one letter for each token, the same in all lists.

    The 93 commonest tokens have a letter of their own; rarer ones share one, so that sequences look more
    alike than they are, never less.

    >>> lettered(["[C][=O][C]"], ["[C]"])
    [['!"!'], ['!']]
    """
    counts = Counter(t for some in texts for s in some for t in symbols_of(s))
    order = sorted(counts, key=lambda t: (-counts[t], t))
    letter = {t: _SINGLE[min(i, len(_SINGLE) - 1)] for i, t in enumerate(order)}
    return [["".join(letter[t] for t in symbols_of(s)) for s in some] for some in texts]


def _near(known: list[str], asked: list[str], identity: float, coverage: float) -> np.ndarray:
    sieve = _Sieve(known, identity)
    found = np.zeros(len(asked), dtype=bool)
    cache: dict[str, bool] = {}
    with progress("looking for leaking rows", len(asked)) as advance:
        for i, sequence in enumerate(asked):
            if sequence not in cache:
                candidates = sieve.candidates(sequence, coverage)
                cache[sequence] = any(_is_near(known[c], sequence, identity) for c in candidates)
            found[i] = cache[sequence]
            advance(1)
    return found


def _is_near(a: str, b: str, identity: float) -> bool:
    import edlib

    short, long = (a, b) if len(a) <= len(b) else (b, a)
    k = _edits(len(short), identity)
    return edlib.align(short, long, mode="HW", task="distance", k=k)["editDistance"] >= 0


def _edits(length: int, identity: float) -> int:
    return int((1 - identity) * length + 1e-9)


class _Sieve:
    """The train sequences that may be near a sequence, most alike first; loses none that is."""

    def __init__(self, known: list[str], identity: float) -> None:
        self.identity = identity
        # Larger q tells sequences apart better, but each edit spoils q of the q-grams.
        self.q = next(q for q in range(6, 0, -1) if q == 1 or 1 - q * (1 - identity) >= 0.35)
        self.lengths = np.array([len(s) for s in known])
        longest = int(self.lengths.max(initial=0))
        dtype = np.uint8 if longest < 256 else np.uint16 if longest < 65536 else np.uint32
        self.counts = np.array([self._count(s) for s in known], dtype=dtype).reshape(len(known), _BINS)

    def candidates(self, sequence: str, coverage: float) -> np.ndarray:
        """Indices into the sequences given, by falling number of shared q-grams."""
        m = len(sequence)
        lo = np.searchsorted(self.lengths, int(np.ceil(coverage * m - 1e-9)), side="left")
        hi = np.searchsorted(self.lengths, int(np.floor(m / coverage + 1e-9)), side="right")
        short = np.minimum(self.lengths[lo:hi], m)
        edits = ((1 - self.identity) * short + 1e-9).astype(np.int64)
        mine = self._count(sequence)
        columns = np.flatnonzero(mine)
        rows = self.counts[lo:hi][:, columns]
        most = np.minimum(mine[columns], np.iinfo(rows.dtype).max).astype(rows.dtype)
        shared = np.minimum(rows, most).sum(axis=1, dtype=np.int64)
        possible = np.flatnonzero(shared >= short - self.q + 1 - edits * self.q)
        return lo + possible[np.argsort(-shared[possible], kind="stable")]

    def _count(self, sequence: str) -> np.ndarray:
        letters = np.frombuffer(sequence.encode(), dtype=np.uint8)
        if len(letters) < self.q:
            return np.zeros(_BINS, dtype=np.int64)
        # For A, C, G, T bits 1 and 2 differ: 6-grams then fill the 4096 bins one to one. Other letters
        # may share a bin, which only lets more pairs through.
        codes = ((letters >> 1) & 3).astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(codes, self.q)
        return np.bincount(windows @ 4 ** np.arange(self.q), minlength=_BINS)


def plain(sequence: str) -> str:
    """The sequence in DNA letters."""
    return sequence.replace("U", "T")
