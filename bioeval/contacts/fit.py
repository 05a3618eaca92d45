"""Logistic regression that tells contacts from other pairs, one for every penalty tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from biodata.errors import DataError
from bioeval.probes.features import Standard
from bioeval.probes.sklearn_fit import fit_estimator
from bioeval.protocols import Part
from bioeval.scores.contacts import CONTACT_METRICS, pair_scores
from bioeval.tasks.contact_targets import Structure

MOST_PAIRS = 50_000
"""Train pairs: all contacts up to half of it, others drawn evenly."""
PENALTIES = {"attention": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0), "embeddings": (1e-4, 1e-3, 1e-2, 1e-1, 1.0)}
"""Inverse penalties C tried, rising: L1 for attention as Rao et al. 2021, L2 for embeddings."""
_BLOCK = 1 << 14  # pairs scored at once
_ITERATIONS = 200


class PairReader(Protocol):
    """The features of the pairs of one sequence."""

    def __call__(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """float32 `[n, features]`."""
        ...


class Read(NamedTuple):
    """A sequence: what is known of it, and how its pairs are read."""

    structure: Structure
    features: PairReader


@dataclass(frozen=True, slots=True)
class Weights:
    """Fitted regressions, one for each penalty; only the order of what they give is used, so that neither an
    intercept nor the mean of the features is needed.

    Attributes:
        kept: bool `[features]`, those that vary in train.
        values: float32 `[penalties, kept]`, of features as they are.
        notes: pairs there and pairs used.
    """

    kept: np.ndarray
    values: np.ndarray
    notes: dict[str, int]

    def tables(self, reads: Iterable[Read], *, at: Sequence[int]) -> np.ndarray:
        """`pair_scores` of every sequence by some of the regressions, float64 `[len(at), n, metrics]`.

        Args:
            reads: sequences, each read once.
            at: numbers of the penalties.
        """
        found = [self._scored(read, self.values[list(at)]) for read in reads]
        return np.stack(found, axis=1) if found else np.zeros((len(at), 0, len(CONTACT_METRICS)))

    def _scored(self, read: Read, weights: np.ndarray) -> np.ndarray:
        i, j, y = read.structure.pairs()
        blocks = (slice(s, s + _BLOCK) for s in range(0, len(i), _BLOCK))
        parts = [weights @ read.features(i[b], j[b])[:, self.kept].T for b in blocks]
        p = np.concatenate(parts, axis=1) if parts else np.zeros((len(weights), 0))
        return np.stack([pair_scores(j - i, y, row, length=read.structure.length) for row in p])


def fit_pairs(reads: Iterable[Read], structures: Sequence[Structure], *, source: str, seed: int) -> Weights:
    """Fits every penalty to pairs of the train sequences.

    Args:
        reads: train sequences, each read once.
        structures: of the same sequences.
        source: `attention` or `embeddings`.
        seed: of the draw of pairs.

    Raises:
        DataError: no contact, no other pair, or no feature that varies.
    """
    from sklearn.linear_model import LogisticRegression

    x, y = (np.concatenate(side) for side in zip(*_drawn(reads, shares_of(structures), seed=seed)))
    standard = Standard.of(x)
    lasso = source == "attention"
    train, found = Part(x=x, y=y.astype(np.int64), classes=2), []
    for c in PENALTIES[source]:
        made = fit_estimator(
            lambda c=c: LogisticRegression(
                C=c, l1_ratio=float(lasso), solver="liblinear" if lasso else "lbfgs", max_iter=_ITERATIONS,
                random_state=seed,
            ), train, standard=standard,
        )  # fmt: skip
        found.append(made.fitted[0].coef_[0])
    notes = {**standard.notes, "train_pairs": len(y), "train_contacts": int(y.sum())}
    return Weights(standard.kept, (np.stack(found) / standard.scale).astype(np.float32), notes)


def shares_of(structures: Sequence[Structure]) -> tuple[float, float]:
    """Which share of the other pairs, and of the contacts, is drawn.

    Raises:
        DataError: there are none of one kind.
    """
    counts = np.zeros(2)
    for structure in structures:
        counts += np.bincount(structure.pairs()[2], minlength=2)
    if not counts.all():
        what = "contact" if counts[0] else "pair without contact"
        raise DataError(f"no {what} of at least {structures[0].separation} apart in the train rows")
    contacts = min(1.0, MOST_PAIRS / 2 / counts[1])
    return min(1.0, (MOST_PAIRS - contacts * counts[1]) / counts[0]), contacts


def _drawn(
    reads: Iterable[Read], shares: tuple[float, float], *, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for read in reads:
        i, j, y = read.structure.pairs()
        kept = rng.random(len(y)) < np.where(y, shares[1], shares[0])
        yield read.features(i[kept], j[kept]), y[kept]
