"""Scores of predicted numbers."""

from __future__ import annotations

import numpy as np

from bioeval.scores.ranks import ties


def spearman(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation in [-1, 1], ties at mid-rank; NaN where y or p is constant.

    Args:
        y: measured values `[n]`.
        p: predictions `[n]`.
        weights: counts of the rows `[b, n]`, one row of it for each resample.

    Returns:
        `[b]`.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]), np.ones((1, 3)))
    array([0.5])
    """
    of_y, of_p = ties(y), ties(p)
    (in_y, rank_y), (in_p, rank_p) = of_y.places(weights), of_p.places(weights)
    # Over the rows in order of p; the weighted mean of mid-ranks is half the weight, whatever the ties.
    beside = rank_y[:, of_y.code[of_p.order]] * weights[:, of_p.order]
    ranked = rank_p if len(of_p.starts) == len(p) else rank_p[:, of_p.code[of_p.order]]
    cubed = weights.sum(1) ** 3
    covariance = np.einsum("bn,bn->b", beside, ranked) - cubed / 4
    spread_y, spread_p = ((cubed - np.einsum("bs,bs,bs->b", s, s, s)) / 12 for s in (in_y, in_p))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = covariance / np.sqrt(spread_y * spread_p)
    floor = 1e-12 * cubed
    return np.where((spread_y > floor) & (spread_p > floor), np.clip(r, -1, 1), np.nan)


def pearson(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation in [-1, 1]; NaN where y or p is constant. Arguments as `spearman`."""
    return _correlation(np.broadcast_to(y, weights.shape), np.broadcast_to(p, weights.shape), weights)


def r2(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of variance explained, 1 - SSE/SST, in (-inf, 1]; NaN where y is constant.

    Arguments as `spearman`.
    """
    total = weights.sum(1)
    centred = y - (weights @ y / total)[:, None]
    sst = np.einsum("bn,bn->b", weights, centred**2)
    sse = weights @ (y - p) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sst > 1e-12 * max(1.0, float(np.max(y**2))), 1 - sse / sst, np.nan)


def rmse(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Root mean squared error, in the unit of y, at least 0; lower is better. Arguments as `spearman`."""
    return np.sqrt(weights @ (y - p) ** 2 / weights.sum(1))


def mae(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error, in the unit of y, at least 0; lower is better. Arguments as `spearman`."""
    return weights @ np.abs(y - p) / weights.sum(1)


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1)
    # A spread that is rounding error of a constant is no spread.
    floors = [1e-24 * total * float(np.max(np.abs(v))) ** 2 for v in (a, b)]
    a = a - (np.einsum("bn,bn->b", weights, a) / total)[:, None]
    b = b - (np.einsum("bn,bn->b", weights, b) / total)[:, None]
    covariance = np.einsum("bn,bn,bn->b", weights, a, b)
    spread_a = np.einsum("bn,bn,bn->b", weights, a, a)
    spread_b = np.einsum("bn,bn,bn->b", weights, b, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = covariance / np.sqrt(spread_a * spread_b)
    return np.where((spread_a > floors[0]) & (spread_b > floors[1]), np.clip(r, -1, 1), np.nan)
