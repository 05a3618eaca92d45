"""How well the best rows are found, exactly as ProteinGym publishes it (Notin et al. 2023,
doi:10.1101/2023.12.07.570727; `performance_DMS_benchmarks.py`, `calc_ndcg` and `calc_toprecall`).

Neither is scikit-learn's: gains are the measured values scaled to 0..1, the list is cut after
floor(n / 10) rows, and the top tenth is what lies strictly above the 90th percentile.
"""

from __future__ import annotations

import numpy as np

from bioeval.scores.ranks import ratio

_SHARE = 10  # per cent


def ndcg10(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """NDCG of the first floor(n / 10) rows by prediction, in [0, 1]; NaN below 10 rows or for constant y.

    Rows of equal prediction are taken in file order (ProteinGym leaves it to the sort), so a constant
    prediction gives the value of the file's order.

    Args:
        y: measured values `[n]`, higher is better.
        p: predictions `[n]`, higher is better.
        weights: counts of the rows `[b, n]`.
    """
    present = weights > 0
    low = np.where(present, y, np.inf).min(1, keepdims=True)
    high = np.where(present, y, -np.inf).max(1, keepdims=True)
    gains = np.where(high > low, (y - low) / np.where(high > low, high - low, 1), np.nan)
    kept = np.floor(weights.sum(1) * (_SHARE / 100)).astype(np.int64)
    found = _gained(gains, p, weights, kept)
    return ratio(found, _gained(gains, y, weights, kept))


def top10_recall(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the rows above the 90th percentile of y that lie above that of p, in [0, 1].

    NaN where no row of y lies above it; a constant prediction gives 0. Arguments as `ndcg10`.
    """
    best = y > _percentile(y, weights)[:, None]
    chosen = p > _percentile(p, weights)[:, None]
    return ratio((weights * (best & chosen)).sum(1), (weights * best).sum(1))


def top_tenth(y: np.ndarray) -> np.ndarray:
    """Which rows lie strictly above the 90th percentile, bool `[n]`.

    >>> int(top_tenth(np.arange(25.0)).sum())
    3
    """
    return y > _percentile(y, np.ones((1, len(y))))[0]


def _gained(gains: np.ndarray, by: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> np.ndarray:
    order = np.argsort(-by, kind="stable")
    counts = weights[:, order]
    last = np.minimum(np.cumsum(counts, axis=1), kept[:, None])
    first = np.minimum(np.cumsum(counts, axis=1) - counts, kept[:, None])
    discounts = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(2, kept.max(initial=0) + 2)))]
    worth = discounts[last.astype(np.int64)] - discounts[first.astype(np.int64)]
    return np.einsum("bn,bn->b", worth, gains[:, order])


def _percentile(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`np.percentile(values repeated by their weights, 90)` for every resample."""
    order = np.argsort(values, kind="stable")
    ordered, upto = values[order], np.cumsum(weights[:, order], axis=1)
    place = (upto[:, -1] - 1) * ((100 - _SHARE) / 100)
    low = np.floor(place)
    below = ordered[(upto > low[:, None]).argmax(1)]
    above = ordered[(upto > np.minimum(low + 1, upto[:, -1] - 1)[:, None]).argmax(1)]
    part = place - low
    # As numpy interpolates, to the last bit: the comparison with it is strict.
    return np.where(part >= 0.5, above - (above - below) * (1 - part), below + (above - below) * part)
