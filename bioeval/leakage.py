"""Which test rows have a near copy among the train rows: the line that stands beside every score.

The search is exhaustive and independent of whatever made the split. A test row leaks when the shorter of the
two sequences lies inside the longer one with at most `(1 - identity) * length of the shorter` edits and is at
least `coverage` times as long. Pairs are first sieved by shared q-grams: a sequence of m letters within k
edits shares at least m - q + 1 - kq of its q-grams (Jokinen & Ukkonen 1991, doi:10.1007/3-540-54345-7_67),
so the sieve loses nothing. The rest is aligned by edlib (Sosic & Sikic 2017,
doi:10.1093/bioinformatics/btw753).

Where there are too many pairs for that, MMseqs2 searches instead (`biodata.similarity.search` as the audit
does); it may miss pairs, and the method that stands with the result says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError
from biodata.mmseqs import normalised
from biodata.progress import progress
from biodata.similarity.search import SearchSettings, audit_settings, search
from bioeval.tasks.task import Task

_BINS = 4096
_MOST_PAIRS = 100_000_000  # some minutes on one core
_MOST_TRAIN = 50_000  # 400 MB of counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """What was found.

    Attributes:
        leaking: bool for each test row, in order.
        exact: test rows whose sequence is also a train sequence.
        repeated: sequences that occur in more than one split.
        identity: threshold in (0, 1].
        coverage: threshold in (0, 1].
        method: one phrase.
    """

    leaking: np.ndarray
    exact: int
    repeated: int
    identity: float
    coverage: float
    method: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "train_test_rows": int(self.leaking.sum()), "test_rows": len(self.leaking),
            "exact_rows": self.exact, "sequences_in_several_splits": self.repeated,
            "identity": self.identity, "coverage": self.coverage, "method": self.method,
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """For people."""
        n, of = int(self.leaking.sum()), len(self.leaking)
        return (
            f"{n} of {of} test rows have a train row at identity >= {self.identity:g} over "
            f"{self.coverage:g} of the length ({self.exact} identical)"
        )


def find_leakage(task: Task, *, identity: float = 0.9, coverage: float = 0.8) -> Leakage:
    """Test rows of a task with a near copy in train, and equal sequences across all splits.

    DNA that is read letter by letter is searched on both strands; codons and RNA have one.

    Args:
        task: its train and test sequences.
        identity: least identity of a near copy, above 0, at most 1.
        coverage: least length of the shorter as a fraction of the longer, above 0, at most 1.

    Raises:
        ConfigError: a threshold outside (0, 1].
    """
    both = task.alphabet == "dna" and task.unit == "nucleotide"
    train, test = task.sequences("train"), task.sequences("test")
    exact = leaking_rows(train, test, identity=1.0, coverage=1.0, both_strands=both)
    few = len(train) * len(test) <= _MOST_PAIRS and len(train) <= _MOST_TRAIN
    if few:
        near = leaking_rows(train, test, identity=identity, coverage=coverage, both_strands=both)
    else:
        settings = audit_settings(alphabet=task.alphabet, identity=identity, coverage=coverage)
        near = _searched_rows(train, test, replace(settings, both_strands=both), alphabet=task.alphabet)
    leaking = exact | near
    seen: dict[str, set[str]] = {}
    for sequence, split in zip(task.table.column("sequence").to_pylist(), task.table.column("split")):
        seen.setdefault(_plain(sequence), set()).add(split.as_py())
    method = "edlib, every pair of train and test" if few else "MMseqs2 search, may miss pairs"
    method += ", both strands" if both else ""
    return Leakage(
        leaking=leaking, exact=int(exact.sum()), repeated=sum(len(s) > 1 for s in seen.values()),
        identity=identity, coverage=coverage, method=method,
    )  # fmt: skip


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
    known = sorted({_plain(s) for s in train}, key=lambda s: (len(s), s))
    asked = [_plain(s) for s in test]
    if both_strands:
        known = sorted({*known, *map(reverse_complement, known)}, key=lambda s: (len(s), s))
    exact = set(known)
    found = np.array([s in exact for s in asked], dtype=bool)
    if identity < 1:
        near = _near(known, [asked[i] for i in np.flatnonzero(~found)], identity, coverage)
        found[~found] = near
    return found


def _searched_rows(
    train: Sequence[str], test: Sequence[str], settings: SearchSettings, *, alphabet: str
) -> np.ndarray:
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


def _plain(sequence: str) -> str:
    return sequence.replace("U", "T")
