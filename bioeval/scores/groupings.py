"""Scores of embeddings without a probe: what lies near what, and what falls together."""

from __future__ import annotations

import numpy as np

from bioeval.scores.ranks import ratio, ties


def mean_average_precision(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over queries of their average precision, in [0, 1].

    Args:
        y: not used: predictions already hold a value for each query.
        p: `[n, 2]`, average precision and hit of each query; NaN for a query without a relevant row.
        weights: counts of the queries `[b, n]`.
    """
    return _mean_known(p[:, 0], weights)


def recall_at_1(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of queries whose nearest row is of their class, in [0, 1].

    Args:
        y: not used, as above.
        p: `[n, 2]`, as above.
        weights: counts of the queries `[b, n]`.
    """
    return _mean_known(p[:, 1], weights)


def v_measure(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Harmonic mean of homogeneity and completeness in [0, 1] (Rosenberg & Hirschberg 2007, section 2).

    0 for one single cluster; NaN where y has one class.

    Args:
        y: classes `[n]`.
        p: cluster of each row `[n]`.
        weights: counts of the rows `[b, n]`.
    """
    total = weights.sum(1)
    cells, rows, columns = (_entropy(ties(v).sums(weights), total) for v in (_joint(y, p), y, p))
    shared = rows + columns - cells
    value = ratio(2 * shared, rows + columns)
    return np.where(rows > 1e-12, np.clip(value, 0, 1), np.nan)


def adjusted_rand(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Adjusted Rand index in [-0.5, 1] (Hubert & Arabie 1985, doi:10.1007/BF01908075, equation 5); 0 for
    one single cluster. Arguments as `v_measure`.
    """
    total = _pairs(weights.sum(1))
    cells, rows, columns = (_pairs(ties(v).sums(weights)).sum(1) for v in (_joint(y, p), y, p))
    expected = ratio(rows * columns, total)
    return ratio(cells - expected, (rows + columns) / 2 - expected)


def _joint(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    a, b = ties(np.asarray(y)).code, ties(np.asarray(p)).code
    return a * (b.max(initial=0) + 1) + b


def _entropy(counts: np.ndarray, total: np.ndarray) -> np.ndarray:
    share = counts / total[:, None]
    return -np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(1)


def _pairs(n: np.ndarray) -> np.ndarray:
    return n * (n - 1) / 2


def _mean_known(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return ratio(weights @ np.where(known, values, 0), weights @ known)
