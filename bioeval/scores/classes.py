"""Scores of predicted classes and labels.

Targets `y` are int `[n]`, an index for each row, or float `[n, k]`: 1, 0, or NaN for a label that was not
measured. Predictions `p` are probabilities `[n, k]`; for two classes also `[n]`, any score that grows with
the second class. A score over classes is the plain mean of the classes for which it is defined.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bioeval.scores.ranks import mid_ranks, ratio, ties

_LEAST = 1e-15


def accuracy(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of rows whose most probable class is the right one, in [0, 1].

    A constant prediction gives the share of that class.

    Args:
        y: classes `[n]`.
        p: probabilities `[n, k]`; of equal ones the first class counts.
        weights: counts of the rows `[b, n]`.

    >>> accuracy(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.ones((1, 3)))
    array([0.66666667])
    """
    return ratio(weights @ (p.argmax(1) == y), weights.sum(1))


def balanced_accuracy(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that occur, in [0, 1]; 1/k for a constant prediction.

    Args:
        y: classes `[n]`.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    recalls = [ratio(weights @ ((y == c) & (p.argmax(1) == c)), weights @ (y == c)) for c in np.unique(y)]
    return _mean(recalls)


def macro_f1(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that are measured or predicted, in [0, 1]; labels are predicted from 0.5 on.

    2 share / (1 + share) / k for a constant prediction.

    Args:
        y: classes `[n]`, or labels `[n, k]` of 0, 1 and NaN.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    truth, chosen = _hard(y, p)
    f1 = []
    for t, c in zip(truth.T, chosen.T):
        right, either = _counted(t, c, weights)
        f1.append(ratio(2 * right, either))
    return _mean(f1)


def micro_f1(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of all labels of all rows together, in [0, 1]; labels are predicted from 0.5 on.

    Args:
        y: classes `[n]`, or labels `[n, k]` of 0, 1 and NaN.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    truth, chosen = _hard(y, p)
    counted = [_counted(t, c, weights) for t, c in zip(truth.T, chosen.T)]
    return ratio(2 * np.sum([c[0] for c in counted], axis=0), np.sum([c[1] for c in counted], axis=0))


def mcc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Matthews' correlation in [-1, 1], for k classes as Gorodkin 2004 (equation 8,
    doi:10.1016/j.compbiolchem.2004.09.006); 0 for a constant prediction, NaN where y has one class.

    Args:
        y: classes `[n]`.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    chosen = p.argmax(1)
    total = weights.sum(1)
    found = ties(np.r_[y, chosen])
    k = len(found.starts)
    code_y, code_p = found.code[: len(y)], found.code[len(y) :]
    true = np.stack([weights @ (code_y == c) for c in range(k)], axis=1)
    said = np.stack([weights @ (code_p == c) for c in range(k)], axis=1)
    covariance = (weights @ (y == chosen)) * total - (true * said).sum(1)
    spread_y, spread_p = total**2 - (true**2).sum(1), total**2 - (said**2).sum(1)
    value = ratio(covariance, np.sqrt(np.maximum(spread_y * spread_p, 0)))
    value = np.where((spread_p <= 0) & (spread_y > 0), 0.0, value)
    return np.clip(value, -1, 1)


def auroc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve in [0, 1], one class against the rest, ties as half; 0.5 for a constant.

    Args:
        y: classes `[n]`, or labels `[n, k]` of 0, 1 and NaN.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    return _over_columns(_auroc, y, p, weights)


def auprc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision in [0, 1], one class against the rest: sum of (recall step) * precision, no
    interpolation. A constant prediction gives the share of positives.

    Args:
        y: classes `[n]`, or labels `[n, k]` of 0, 1 and NaN.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    return _over_columns(_auprc, y, p, weights)


def cross_entropy(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean -ln of the probability given to the right class, nats, at least 0; lower is better.

    Probabilities are kept above 1e-15; ln k for the uniform prediction.

    Args:
        y: classes `[n]`.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    right = np.clip(p[np.arange(len(y)), y.astype(np.int64)], _LEAST, None)
    return weights @ -np.log(right) / weights.sum(1)


def fmax(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Largest harmonic mean, over 101 thresholds, of mean precision and mean recall of the rows, in [0, 1].

    Precision is the mean over rows with a prediction at the threshold, recall over rows with a label
    (Radivojac et al. 2013, doi:10.1038/nmeth.2340, equations 1-3).

    Args:
        y: labels `[n, k]` of 0, 1 and NaN.
        p: probabilities `[n, k]`.
        weights: counts of the rows `[b, n]`.
    """
    known = np.isfinite(y)
    truth = np.where(known, y, 0) > 0
    labelled = truth.any(1)
    best = np.full(len(weights), np.nan)
    for threshold in np.linspace(0, 1, 101):
        chosen = (p >= threshold) & known
        right = (chosen & truth).sum(1)
        some = chosen.any(1)
        precision = ratio(weights @ np.where(some, right / np.maximum(chosen.sum(1), 1), 0), weights @ some)
        shares = np.where(labelled, right / np.maximum(truth.sum(1), 1), 0)
        recall = ratio(weights @ shares, weights @ labelled)
        best = np.fmax(best, ratio(2 * precision * recall, precision + recall))
    return best


def class_columns(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction with a column for each class; for two classes that of the second alone."""
    if y.ndim == 2:
        return y, p
    if p.ndim == 1:
        return (y == 1).astype(float)[:, None], p[:, None]
    if p.shape[1] == 2:
        return (y == 1).astype(float)[:, None], p[:, 1:]
    return (y[:, None] == np.arange(p.shape[1])).astype(float), p


def _hard(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if y.ndim == 2:
        return y, p >= 0.5
    k = np.arange(p.shape[1])
    return (y[:, None] == k).astype(float), p.argmax(1)[:, None] == k


def _counted(truth: np.ndarray, chosen: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(truth)
    true = np.where(known, truth, 0)
    return weights @ (true * chosen), weights @ true + weights @ (chosen & known)


def _over_columns(
    one: Callable[..., np.ndarray], y: np.ndarray, p: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    truth, given = class_columns(y, p)
    found = []
    for t, c in zip(truth.T, given.T):
        known = np.isfinite(t)
        if known.any():
            found.append(one(t[known], c[known], weights[:, known]))
    return _mean(found) if found else np.full(len(weights), np.nan)


def _auroc(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    positive = weights * truth
    above = np.einsum("bn,bn->b", positive, mid_ranks(p, weights))
    n_positive = positive.sum(1)
    return ratio(above - n_positive**2 / 2, n_positive * (weights.sum(1) - n_positive))


def _auprc(truth: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = ties(-p)
    hits, all_ = found.sums(weights * truth), found.sums(weights)
    precision = np.cumsum(hits, axis=1) / np.maximum(np.cumsum(all_, axis=1), _LEAST)
    return ratio((hits * precision).sum(1), hits.sum(1))


def _mean(values: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(values)
    known = np.isfinite(stacked)
    return ratio(np.where(known, stacked, 0).sum(0), known.sum(0))
