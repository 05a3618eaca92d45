"""How well contacts are found, sequence by sequence: precision of the first predictions, as CASP counts.

Of every sequence the pairs are ranked; P@L is the share of contacts among the first L of them (L/2, L/5), L
being its residues of known place: Moult et al., CASP; Rao et al. 2021, doi:10.1101/2020.12.15.422761. The
score is the mean over sequences. A sequence without a contact in the range has no value there, for no
prediction could be right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bioeval.scores.classes import auprc
from bioeval.scores.ranks import ratio

RANGES: dict[str, tuple[int, float]] = {"long": (24, np.inf), "medium": (12, 24), "short": (6, 12)}
"""Least |i - j| and that which is too much."""
_SHARES = (1, 2, 5)
CONTACT_METRICS = (
    *(f"{name}-p-at-l{share if share > 1 else ''}" for name in RANGES for share in _SHARES),
    "p-at-contacts",
    "contact-auprc",
)
"""Columns of `pair_scores`; the last two are of all pairs that are scored."""


def pair_scores(apart: np.ndarray, y: np.ndarray, p: np.ndarray, *, length: int) -> np.ndarray:
    """The scores of one sequence, float64 `[len(CONTACT_METRICS)]`, NaN where there is no contact to find.

    Args:
        apart: |i - j| of every pair that is scored, int `[n]`.
        y: whether it is a contact, bool `[n]`.
        p: prediction, higher for contacts `[n]`.
        length: L, residues of known place.
    """
    found = []
    for low, high in RANGES.values():
        inside = (apart >= low) & (apart < high)
        found += [precision_at(y[inside], p[inside], max(1, length // share)) for share in _SHARES]
    total = int(y.sum())
    area = float(auprc(y.astype(np.int64), p, np.ones((1, len(y))))[0]) if 0 < total < len(y) else np.nan
    return np.array([*found, precision_at(y, p, total), area])


def precision_at(y: np.ndarray, p: np.ndarray, k: int) -> float:
    """Share of contacts among the k best pairs, or all where there are fewer; NaN without a contact.

    Pairs of equal prediction count as if they were drawn at random, so a constant prediction gives the share
    of contacts and the order of the file does not matter.

    Args:
        y: whether a pair is a contact, bool `[n]`.
        p: predictions `[n]`.
        k: at least 1.

    >>> precision_at(np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.1]), 2)
    0.5
    >>> precision_at(np.array([1, 0, 0, 0], bool), np.ones(4), 2)
    0.25
    """
    if not y.any():
        return np.nan
    k = min(k, len(y))
    last = np.partition(p, len(p) - k)[len(p) - k]
    above, tied = p > last, p == last
    return float((y[above].sum() + (k - above.sum()) * y[tied].mean()) / k)


def column_mean(at: int) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """The metric that is the mean over sequences of a column of `pair_scores`.

    Args:
        at: the column.
    """

    def mean(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        del y  # predictions already hold a value for each sequence
        values = p[:, at]
        known = np.isfinite(values)
        return ratio(weights @ np.where(known, values, 0), weights @ known)

    return mean
