"""Energy distance: how far apart two sets of vectors are, as one number without bins or a fitted model."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 11


def energy_distances(
    first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|) of subsets, float64 [B], 0 only for equal distributions.

    Source: Szekely and Rizzo 2013 (doi:10.1016/j.jspi.2013.03.018), equation 2 in its V-statistic form, and
    the root of it, which has the unit of the vectors.

    Args:
        first: vectors [n, d]; rows with NaN are left out.
        second: vectors [m, d].
        rows: bool [B, n], which of the first.
        others: bool [B, m].

    >>> one, two = np.array([[0.0], [0.0]]), np.array([[3.0]])
    >>> every = np.ones((1, 2), bool), np.ones((1, 1), bool)
    >>> energy_distances(one, two, rows=every[0], others=every[1]).tolist()
    [2.449489742783178]
    """
    a, b = (_weights(v, chosen) for v, chosen in ((first, rows), (second, others)))
    first, second = np.nan_to_num(first), np.nan_to_num(second)
    cross = _mean_distance(first, second, a, b)
    squared = 2 * cross - _mean_distance(first, first, a, a) - _mean_distance(second, second, b, b)
    # rounding of the three means leaves about 1e-16 of them where the sets are equal
    return np.sqrt(np.where(squared > 1e-13 * np.abs(cross), squared, 0.0))


def _weights(vectors: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    weights = (chosen & ~np.isnan(vectors).any(axis=1)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return weights / weights.sum(axis=1, keepdims=True)


def _mean_distance(first: np.ndarray, second: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Weighted mean of all distances, some rows at a time so that memory stays small."""
    from scipy.spatial.distance import cdist

    total = np.zeros(len(a))
    for start in range(0, len(first), _BLOCK):
        piece = slice(start, start + _BLOCK)
        total += ((a[:, piece] @ cdist(first[piece], second)) * b).sum(axis=1)
    return total
