"""Intervals of scores from 0 to 1 that few rows decide, by the score method on the rows they are worth.

Of a share of m rows Wilson's bounds are the true values t for which |v - t| = z sqrt(t (1 - t) / m): the
standard error is that of the true value, not that of the sample, so a perfect score, of which no resample
differs, has bounds too (Wilson 1927, doi:10.1080/01621459.1927.10502953). Of another score m is the number of
rows that a share of the same standard error would have, v (1 - v) / error^2, as in surveys; never more than
the design allows, because the error of few rows is uncertain (Korn & Graubard 1998, Survey Methodology
24:193-201). Errors are those of the jackknife (Efron & Tibshirani 1993, chapter 11). What is allowed, and how
some scores differ (`SHARES`):

- Accuracy, recall at 1, F1 of classes: the rows. F1 of labels: the true and the predicted ones.
- AUROC: 4 / (1/n1 + 1/n0) for each class or label, what the variance of Hanley & McNeil 1982
  (doi:10.1148/radiology.143.1.7063747) gives near 1.
- Average precision: the positives, over which it averages (Boyd, Eng & Page 2013,
  doi:10.1007/978-3-642-40994-3_29). It is too high of few positives; the jackknife's bias is taken off
  (Efron & Tibshirani 1993, section 10.5).
- Recall of the top tenth: the k rows of the top tenth, of which k are chosen. Both margins of this table are
  fixed; the variance of a count is then 1 / (1/a + 1/b + 1/c + 1/d) (McCullagh & Nelder 1989, section 7.3),
  of the recall t (1 - t) / (k (1 + t)) as far as k is small beside n. No jackknife: it fails of percentiles.
- NDCG: mean and error of the resampled scores, at most the rows; Student's t of m - 1 degrees of freedom, for
  it is the few rows on top that tell the error.

Over k classes or labels allowed rows m_i add up as for a mean of independent parts, k^2 / sum(1 / m_i), the
most that it can be worth. Errors of groups go with Student's t of groups - 1. Where groups of rows are drawn
and leaving them out changes nothing, and for the top tenth, each group counts as one: Kish's (sum c)^2 / sum
c^2 of groups of c rows (Survey Sampling, 1965, section 8.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bioeval.scores.classes import class_columns
from bioeval.scores.top import top_tenth
from bioeval.stats.resampling import Statistic, Units, left_out_values

Bounds = tuple[float, float] | None
_NO_SPREAD = 1e-9
_LEAST_FREEDOM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A score and what it is of.

    Attributes:
        y: targets `[n]` or `[n, k]`.
        p: predictions `[n]` or `[n, k]`.
        value: the score.
        statistic: the score for row weights.
        draws: the score of bootstrap resamples, those that have one.
        units: rows or groups.
    """

    y: np.ndarray
    p: np.ndarray
    value: float
    statistic: Statistic
    draws: np.ndarray
    units: Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """A share that is as uncertain as a score.

    Attributes:
        centre: the share, in [0, 1].
        rows: of how many, above 0.
        freedom: degrees of freedom of Student's t; infinite for the normal distribution.
        margins: whether both margins are fixed, as of a recall at the precision's own k.
    """

    centre: float
    rows: float
    freedom: float = np.inf
    margins: bool = False


def share_bounds(metric: str, seen: Seen, *, level: float) -> Bounds:
    """Bounds of a score; None where it has no chance in it (AUROC of predictions that are all equal).

    Args:
        metric: a name of `SHARES`.
        seen: the score.
        level: confidence level in (0, 1).
    """
    found = SHARES[metric](seen)
    if found is None:
        return None
    lo, hi = score_bounds(found, level=level)
    return min(lo, seen.value), max(hi, seen.value)


def score_bounds(share: Worth, *, level: float) -> tuple[float, float]:
    """True shares t with (v - t)^2 = z^2 t (1 - t) / m, or / (m (1 + t)) where the margins are fixed.

    Args:
        share: v and m.
        level: confidence level in (0, 1).

    >>> [round(t, 3) for t in score_bounds(Worth(centre=1.0, rows=20), level=0.95)]
    [0.839, 1.0]
    >>> [round(t, 3) for t in score_bounds(Worth(centre=0.5, rows=10, margins=True), level=0.95)]
    [0.258, 0.714]
    """
    from scipy.special import stdtrit

    v, m, z = share.centre, share.rows, stdtrit(share.freedom, (1 + level) / 2)
    fixed = m * share.margins
    # m (t - v)^2 (1 + t) - z^2 t (1 - t), or without the factor 1 + t; one root on each side of v
    cubic = [fixed, m - 2 * fixed * v + z**2, fixed * v**2 - 2 * m * v - z**2, m * v**2]
    lo, hi = np.clip(np.sort(np.roots(cubic).real)[-2:], 0, 1)
    return float(lo), float(hi)


def _accuracy(seen: Seen) -> Worth | None:
    return _jackknifed(seen, lambda units: _worth_of(np.arange(len(seen.y)), units))


def _recall_at_1(seen: Seen) -> Worth | None:
    return _jackknifed(seen, lambda units: _worth_of(np.flatnonzero(np.isfinite(seen.p[:, 1])), units))


def _f1(seen: Seen) -> Worth | None:
    if seen.y.ndim == 1:
        return _accuracy(seen)
    labels = np.r_[np.nonzero(seen.y == 1)[0], np.nonzero((seen.p >= 0.5) & np.isfinite(seen.y))[0]]
    return _jackknifed(seen, lambda units: _worth_of(labels, units)) if len(labels) else None


def _auroc(seen: Seen) -> Worth | None:
    def most(units: Units | None) -> float:
        return _together([4 / (1 / n1 + 1 / n0) for n1, n0 in _classes(seen, units) if n1 * n0])

    return None if _all_equal(seen.p) else _jackknifed(seen, most)


def _auprc(seen: Seen) -> Worth | None:
    def most(units: Units | None) -> float:
        return _together([ones for ones, _ in _classes(seen, units) if ones])

    return _jackknifed(seen, most, unbiased=True)


def _top_recall(seen: Seen) -> Worth | None:
    if _all_equal(seen.p):
        return None
    best = np.flatnonzero(top_tenth(seen.y))
    return Worth(centre=seen.value, rows=_worth_of(best, seen.units), margins=True)


def _ndcg(seen: Seen) -> Worth | None:
    middle, error = float(seen.draws.mean()), float(seen.draws.std())
    if not 0 < middle < 1 or error < _NO_SPREAD:
        return None
    rows = min(middle * (1 - middle) / error**2, len(seen.y))
    return Worth(centre=seen.value, rows=rows, freedom=max(rows - 1, _LEAST_FREEDOM))


SHARES: Mapping[str, Callable[[Seen], Worth | None]] = {
    "accuracy": _accuracy,
    "auprc": _auprc,
    "auroc": _auroc,
    "macro-f1": _f1,
    "micro-f1": _f1,
    "ndcg10": _ndcg,
    "recall-at-1": _recall_at_1,
    "top10-recall": _top_recall,
}


def _jackknifed(seen: Seen, most: Callable[[Units | None], float], *, unbiased: bool = False) -> Worth | None:
    """Worth by leaving units out, at most what counts of rows allow; of groups where that changes nothing."""
    left_out = left_out_values(seen.statistic, seen.units)
    left_out = left_out[np.isfinite(left_out)]
    times = len(left_out) - 1
    if times < 2:
        return None
    error = float(np.sqrt(times * np.mean((left_out - left_out.mean()) ** 2)))
    if error < _NO_SPREAD:
        return Worth(centre=seen.value, rows=most(seen.units))
    bias = times * (float(left_out.mean()) - seen.value) if unbiased else 0.0
    worth = min(seen.value * (1 - seen.value) / error**2, most(None))
    freedom = np.inf if seen.units.kind == "rows" else seen.units.count - 1
    return Worth(centre=float(np.clip(seen.value - bias, 0, 1)), rows=worth, freedom=freedom)


def _classes(seen: Seen, units: Units | None) -> list[tuple[float, float]]:
    """Rows with and without each class or label, as many as they are worth."""
    truth, _ = class_columns(seen.y, seen.p)
    rows = [(np.flatnonzero(t == 1), np.flatnonzero(t == 0)) for t in truth.T]
    return [(_worth_of(ones, units), _worth_of(zeros, units)) for ones, zeros in rows]


def _worth_of(rows: np.ndarray, units: Units | None) -> float:
    """How many rows (a row may be given more than once); with units, Kish's number of these."""
    if units is None or not len(rows):
        return len(rows)
    held = np.bincount(units.of_row[rows])
    return float(held.sum() ** 2 / (held**2).sum())


def _together(parts: list[float]) -> float:
    return len(parts) ** 2 / sum(1 / part for part in parts)


def _all_equal(p: np.ndarray) -> bool:
    return bool((p == p[:1]).all())
