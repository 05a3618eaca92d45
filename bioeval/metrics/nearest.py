"""How near each generated sequence comes to the training set: copying beside what nature itself shows.

A generated sequence close to a training sequence is no sin if held-out natural sequences are as close, so the
null is the same number of the reference. Two views: identity over the whole length, and the share of 31-mers
that occur in the training set, which also sees pieces copied into something new (31 letters are beyond the
longest chance match, about log4(2 m n): 20 for 1 kb against 1 Gb).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from biodata.arrays import distinct
from biodata.errors import ConfigError
from bioeval.metrics.counting import window_numbers
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

COPY_LENGTH, SEED_LENGTH = 31, 8
"""Letters of a copied window and of the words by which near targets are found; of nucleotides."""

NOVEL = 0.9
"""A sequence with no training sequence at this identity or above is new."""

_OTHER_COPY_LENGTH, _OTHER_SEED_LENGTH = {22: 12, 94: 9}, {22: 3, 94: 2}
_TRAINING_BLOCK = 2048


def identity(first: str, second: str, *, at_least: float = 0.0) -> float:
    """1 - edit distance / length of the longer sequence, 0 to 1, or `at_least` if it is not above that.

    Args:
        first: one sequence.
        second: the other.
        at_least: identity below which nothing is aligned, 0 to 1.

    >>> identity("ACGT", "ACGA"), identity("ACGT", "ACGA", at_least=0.9)
    (0.75, 0.9)
    """
    import edlib

    longer = max(len(first), len(second))
    if not first or not second:
        return max(at_least, float(first == second))
    # one letter more than the bound allows, against rounding; the result is compared again
    bound = int((1 - at_least) * longer) + 1
    distance = edlib.align(first, second, mode="NW", task="distance", k=bound)["editDistance"]
    return max(at_least, 1 - distance / longer) if distance >= 0 else at_least


def nearest_identities(
    queries: SequenceSet, targets: SequenceSet, *, candidates: int = 32, exact_cells: float = 3e10
) -> tuple[np.ndarray, np.ndarray]:
    """Identity of each query to its nearest target, and which that is.

    Args:
        queries: the sequences to judge.
        targets: the training sequences, at least one.
        candidates: how many targets are aligned where aligning all of them is too much.
        exact_cells: aligns all pairs if sum of length products is at most this (1e10 take about a second).

    Returns:
        `(identities, which)`: float64 [n] from 0 to 1, and the row of the nearest target. Where only
        candidates are aligned an identity is a lower bound: the nearest target is missed if `candidates`
        others share more 8-mers with the query.
    """
    exact = len(targets) <= candidates or _cells(queries, targets) <= exact_cells
    chosen = _candidates(queries, targets, min(candidates, len(targets)))
    texts = targets.strings()
    best, which = np.zeros(len(queries)), np.zeros(len(queries), dtype=np.int64)
    for row in range(len(queries)):
        # promising targets first, so that the bound makes the rest cheap
        first = chosen[row].tolist()
        seen = set(first)
        order = [*first, *(t for t in range(len(targets)) if t not in seen)] if exact else first
        best[row], which[row] = _nearest(queries.sequence(row), texts, order)
    return best, which


def nearest_method(queries: SequenceSet, metric: NearestIdentity) -> str:
    """How `NearestIdentity` finds the nearest: `exact`, or which candidates are aligned."""
    exact = len(metric.train) <= metric.candidates or _cells(queries, metric.train) <= metric.exact_cells
    words = f"{seed_length(queries)}-mers"
    return "exact" if exact else f"best of the {metric.candidates} that share most {words}"


def copy_length(sequences: SequenceSet) -> int:
    """Letters of a window that chance does not find again in a training set, by alphabet."""
    return _OTHER_COPY_LENGTH.get(sequences.other, COPY_LENGTH)


def seed_length(sequences: SequenceSet) -> int:
    """Letters of the words by which near targets are found, by alphabet."""
    return _OTHER_SEED_LENGTH.get(sequences.other, SEED_LENGTH)


def _cells(queries: SequenceSet, targets: SequenceSet) -> float:
    return float(queries.lengths.sum()) * float(targets.lengths.sum())


def copied_share(queries: SequenceSet, targets: SequenceSet, *, k: int = COPY_LENGTH) -> np.ndarray:
    """Share of the k-mer windows of each query that occur in the targets, 0 to 1, NaN without a window.

    Args:
        queries: sequences asked for, n of them.
        targets: sequences that may have been copied from.
        k: letters of a window.

    >>> a = SequenceSet.from_strings(["ACGTACGTTT"]); b = SequenceSet.from_strings(["ACGTACG"])
    >>> copied_share(a, b, k=5).tolist()
    [0.5]
    """
    numbers, valid = window_numbers(queries, k)
    owners = queries.rows_of_positions()[: len(numbers)][valid]
    kinds, inverse = np.unique(numbers[valid], return_inverse=True)
    found = np.zeros(len(kinds), dtype=bool)
    for _, block in _blocks(targets):
        window, whole = window_numbers(block, k)
        found |= np.isin(kinds, window[whole])
    total = np.bincount(owners, minlength=len(queries))
    hits = np.bincount(owners[found[inverse]], minlength=len(queries))
    return np.divide(hits, total, out=np.full(len(queries), np.nan), where=total > 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearestIdentity:
    """Nearest-training identity (median, 95th percentile, maximum), novelty and copied 31-mers, as fractions.

    Novelty is the share of sequences that no training sequence is 0.9 identical to.

    Attributes:
        train: the training sequences, at least one.
        candidates: see `nearest_identities`.
        exact_cells: see `nearest_identities`.
        prompt: letters at the start that were given, not generated: left out of the copied windows; identity
            is that of whole sequences.
    """

    train: SequenceSet
    candidates: int = 32
    exact_cells: float = 3e10
    prompt: int = 0

    def __post_init__(self) -> None:
        if not len(self.train) or self.candidates < 1:
            raise ConfigError(
                f"{len(self.train)} training sequences, {self.candidates} candidates: at least 1 of each"
            )

    @classmethod
    def of_run(cls, setting: Setting) -> list[NearestIdentity]:
        """With training sequences."""
        return [cls(train=setting.need_train(), prompt=setting.prompt)]

    @property
    def _window(self) -> int:
        return copy_length(self.train)

    @property
    def measures(self) -> tuple[Measure, ...]:
        titles = {
            "nearest_identity_median": "Identity to the nearest training sequence, median",
            "nearest_identity_p95": "Identity to the nearest training sequence, 95th percentile",
            "nearest_identity_max": "Identity to the nearest training sequence, maximum",
            "novelty": f"Sequences below identity {NOVEL} to all training sequences",
            f"copied_{self._window}mers": f"{self._window}-mers found in the training set",
        }
        # held-out natural sequences are themselves near chance, so shuffling says nothing about power here
        common = {"unit": "fraction", "kind": "share", "kept_by_shuffling": True}
        return tuple(Measure(name=n, title=t, **common) for n, t in titles.items())

    def features(self, sequences: SequenceSet) -> np.ndarray:
        identities, _ = nearest_identities(
            sequences, self.train, candidates=self.candidates, exact_cells=self.exact_cells
        )
        copied = copied_share(sequences.after(self.prompt), self.train, k=self._window)
        return np.stack([identities, copied], axis=1)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        return np.array([_summary(first[chosen]) for chosen in rows])


def _summary(features: np.ndarray) -> tuple[float, ...]:
    identities, copied = features[:, 0], features[~np.isnan(features[:, 1]), 1]
    median, high = np.percentile(identities, (50, 95))
    share = float(copied.mean()) if len(copied) else np.nan
    novelty = float((identities < NOVEL).mean())
    return float(median), float(high), float(identities.max()), novelty, share


def _nearest(query: str, texts: list[str], order: list[int]) -> tuple[float, int]:
    best, which = 0.0, order[0]
    for target in order:
        found = identity(query, texts[target], at_least=best)
        if found > best:
            best, which = found, target
    return best, which


def _candidates(queries: SequenceSet, targets: SequenceSet, count: int) -> np.ndarray:
    """Rows of the `count` targets that share most distinct 8-mers with each query, best first."""
    wanted = _presence(queries)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    rows = np.zeros((len(queries), 0), dtype=np.int64)
    for start, block in _blocks(targets):
        fresh = (wanted @ _presence(block).T).toarray()
        numbers = np.broadcast_to(np.arange(start, start + len(block)), fresh.shape)
        scores, rows = np.hstack([scores, fresh]), np.hstack([rows, numbers])
        keep = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        scores, rows = np.take_along_axis(scores, keep, 1), np.take_along_axis(rows, keep, 1)
    return rows


def _blocks(targets: SequenceSet) -> Iterator[tuple[int, SequenceSet]]:
    for start in range(0, len(targets), _TRAINING_BLOCK):
        stop = min(start + _TRAINING_BLOCK, len(targets))
        begin, end = targets.starts[start], targets.starts[stop - 1] + targets.lengths[stop - 1] + 1
        yield start, SequenceSet(targets.ids[start:stop], targets.codes[begin:end],
                                 targets.starts[start:stop] - begin, targets.lengths[start:stop],
                                 targets.letters)  # fmt: skip


def _presence(sequences: SequenceSet):
    """Sparse [n, 4^8] matrix of which 8-mers (or words of other alphabets) each sequence has."""
    from scipy.sparse import csr_matrix

    length = seed_length(sequences)
    kinds = sequences.other**length
    numbers, valid = window_numbers(sequences, length)
    owners = sequences.rows_of_positions()[: len(numbers)][valid]
    cells = distinct(owners * kinds + numbers[valid])
    rows, columns = np.divmod(cells, kinds)
    ones = np.ones(len(cells), dtype=np.float32)
    return csr_matrix((ones, (rows, columns)), shape=(len(sequences), kinds))
