"""Scores of predictions with a weight for every row: a resample is nothing but a count for every row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from biodata.errors import ConfigError

LEAST_ROWS = 3  # rows of each split without which nothing is fitted or scored

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


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
    return _correlation(_mid_ranks(y, weights), _mid_ranks(p, weights), weights)


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


SCORES: dict[str, Metric] = {"mae": mae, "pearson": pearson, "r2": r2, "rmse": rmse, "spearman": spearman}
LOWER_IS_BETTER = frozenset({"mae", "rmse"})


def weighted(name: str) -> Metric:
    """A metric by its name, for rows with weights.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in SCORES:
        raise ConfigError(f"unknown metric {name!r} (known: {', '.join(SCORES)})")
    return SCORES[name]


def score(metric: str, y: np.ndarray, p: np.ndarray) -> float:
    """The plain value of a metric, NaN where it is undefined.

    Args:
        metric: a name of `SCORES`.
        y: measured values `[n]`.
        p: predictions `[n]`.

    Raises:
        ConfigError: an unknown metric.
    """
    return float(weighted(metric)(np.asarray(y, float), np.asarray(p, float), np.ones((1, len(y))))[0])


def _mid_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(tied, axis=1) - tied / 2
    code = np.empty(len(values), dtype=np.intp)
    code[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(values)]))
    return middle[:, code]


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
