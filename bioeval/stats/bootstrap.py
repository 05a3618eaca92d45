"""A score with its 95 % interval: group bootstrap, percentile and BCa, widened for few units; where these
serve badly, on a scale of its own (`bioeval.stats.scales`) or by the score method (`bioeval.stats.shares`).

The scores of `bioeval.scores` take row weights, because a bootstrap resample is nothing but a count for every
row: one sorted order then serves all resamples, and a whole group is drawn by giving its rows the same count.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 (percentile), 14.3 (BCa,
equations 14.9, 14.10, 14.15) and 8.6 (resampling independent units, here groups). Bootstrap intervals of few
units are too narrow, as normal intervals without Student's t are; the tails are therefore those of Hesterberg
2015 (doi:10.1080/00031305.2015.1089789, "expanded percentile"): Phi(-sqrt(n/(n-1)) t(df)). He takes
df = n - 1, as of normal values. Where few units decide (squared errors, rare classes) the spread is known
worse than that; df is therefore that of the chi-square as uncertain as the spread of n units of their
kurtosis is (O'Neill 2014, doi:10.1080/00031305.2014.966589; n - 1 for normal values), never more than n - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from bioeval.scores import weighted
from bioeval.stats.cautions import LEAST_TO_STUDENTISE, TOO_NARROW, caution
from bioeval.stats.resampling import (
    GAPS,
    Groups,
    Resampling,
    Statistic,
    Units,
    bootstrap_draws,
    checked,
    left_out_values,
    units_of,
)
from bioeval.stats.scales import JACKKNIFED, LOG_RATIOS, jackknifed, studentised
from bioeval.stats.shares import SHARES, Seen, share_bounds

_NORMAL = NormalDist()
_LEAST_FREEDOM = 3.0
_LEAST_FOR_KURTOSIS = 5

__all__ = ["Groups", "Interval", "Resampling", "interval", "interval_of_draws", "tail_level"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its bootstrap interval. Signs are kept; `None` means undefined, and `reason` says why.

    Attributes:
        value: on all rows.
        lo: lower bound by `method`.
        hi: upper bound by `method`.
        percentile: bounds by the percentile method.
        method: `bca`, or `percentile` where BCa is undefined (every resample on one side of the value); of
            some scores `score` (`bioeval.stats.shares`), `studentised` or `jackknife`
            (`bioeval.stats.scales`).
        units: what was resampled, `rows` or `groups`, and how many.
        resamples: how many were drawn.
        undefined: how many of these had no value (all targets equal) and were left out.
        reason: why there is no value or no bound, one phrase; empty where there are.
        caution: why the bounds may be too narrow, one phrase; empty where they should not be.
    """

    value: float | None
    lo: float | None
    hi: float | None
    percentile: tuple[float | None, float | None]
    method: str
    units: str
    n_units: int
    resamples: int
    undefined: int
    reason: str = ""
    caution: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        why = {k: v for k, v in (("reason", self.reason), ("caution", self.caution)) if v}
        return {
            "value": self.value, "lo": self.lo, "hi": self.hi, "percentile": list(self.percentile),
            "method": self.method, "units": self.units, "n_units": self.n_units,
            "resamples": self.resamples, "undefined_resamples": self.undefined, **why,
        }  # fmt: skip


def interval(
    metric: str, y: np.ndarray, p: np.ndarray, *, groups: Groups = None,
    how: Resampling | None = None,
) -> Interval:  # fmt: skip
    """A metric with its bootstrap interval.

    Args:
        metric: a name of `bioeval.scores.SCORES`.
        y: measured values `[n]` or `[n, k]`.
        p: predictions `[n]` or `[n, k]`.
        groups: a label for every row; rows of a group are drawn together, because related rows are no
            independent evidence. `None` draws single rows.
        how: resamples, seed, level.

    Raises:
        ConfigError: an unknown metric.
        DataError: lengths differ, there are fewer than `LEAST_ROWS` rows, or a value is NaN.
    """
    function = weighted(metric)
    y, p = checked(y, p, gaps=metric in GAPS)
    how = how or Resampling()
    units = units_of(len(y), groups)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return function(y, p, weights)

    draws = bootstrap_draws(statistic, units, how)
    found = interval_of_draws(statistic, draws, units, how, reason=undefined_because(y, p))
    if found.value is None or found.lo is None:
        return found
    bounds, method = None, "score"
    if metric in SHARES:
        drawn = draws[np.isfinite(draws)]
        seen = Seen(y=y, p=p, value=found.value, statistic=statistic, draws=drawn, units=units)
        bounds = share_bounds(metric, seen, level=how.level)
    elif metric in JACKKNIFED:
        left_out, method = left_out_values(statistic, units), "jackknife"
        bounds = jackknifed(metric, found.value, left_out, level=how.level, n=units.count)
    elif metric in LOG_RATIOS and units.count >= LEAST_TO_STUDENTISE:
        freedom, method = degrees_of_freedom(left_out_values(statistic, units), units.count), "studentised"
        tails = tail_level(how.level, units.count, freedom=freedom)
        bounds = studentised(LOG_RATIOS[metric], y, p, units=units, how=how, tails=tails)
    if bounds is not None:
        found = replace(found, lo=bounds[0], hi=bounds[1], method=method, reason="")
    why = caution(metric, y, units)
    if not why and found.lo == found.hi and found.reason:
        why = f"{TOO_NARROW}: no resample differs"
    return replace(found, caution=why)


def interval_of_draws(
    statistic: Statistic, draws: np.ndarray, units: Units, how: Resampling, *, reason: str = ""
) -> Interval:
    """The interval of a statistic whose resamples are drawn already.

    Args:
        statistic: of row weights.
        draws: its values on bootstrap resamples, NaN where undefined.
        units: rows or groups.
        how: resamples, seed, level.
        reason: why the statistic is undefined, if it turns out to be.
    """
    value = float(statistic(np.ones((1, len(units.of_row))))[0])
    defined = draws[np.isfinite(draws)]
    percentile, bounds, method, why = (None, None), (None, None), "percentile", ""
    if not np.isfinite(value):
        why = reason or "the metric is undefined on these rows"
    elif len(defined) < how.resamples / 2:
        why = f"{len(draws) - len(defined)} of {len(draws)} resamples have no value"
    elif units.count <= 2:
        why = f"{units.count} {units.kind}, at least 3 are needed for an interval"
    else:
        left_out = left_out_values(statistic, units)
        tails = tail_level(how.level, units.count, freedom=degrees_of_freedom(left_out, units.count))
        bounds = percentile = _quantiles(defined, tails)
        corrected = _bca_tails(value, defined, tails, left_out)
        if corrected is not None:
            bounds, method = _quantiles(defined, corrected), "bca"
        if np.ptp(defined) == 0 and value != 0:
            why = "every resample has this value: too few rows, or a perfect score, to show a spread"
    return Interval(
        value=value if np.isfinite(value) else None, lo=bounds[0], hi=bounds[1], percentile=percentile,
        method=method, units=units.kind, n_units=units.count, resamples=how.resamples,
        undefined=len(draws) - len(defined), reason=why,
    )  # fmt: skip


def tail_level(level: float, n: int, *, freedom: float | None = None) -> np.ndarray:
    """The two tails, widened for few units.

    Args:
        level: confidence level in (0, 1).
        n: units, at least 2; for many the tails are those of the level.
        freedom: degrees of freedom of the t, `None` for n - 1.

    >>> tail_level(0.95, 10**6).round(3).tolist(), tail_level(0.95, 20).round(3).tolist()
    ([0.025, 0.975], [0.016, 0.984])
    >>> tail_level(0.95, 20, freedom=6).round(3).tolist()
    [0.006, 0.994]
    """
    from scipy.special import ndtr, stdtrit

    freedom = n - 1 if freedom is None else freedom
    lower = float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(freedom, (1 - level) / 2)))
    return np.array([lower, 1 - lower])


def degrees_of_freedom(left_out: np.ndarray, n: int) -> float:
    """How well n units tell the spread of a statistic: 2n / (kurtosis - (n-3)/(n-1)), 3 to n - 1.

    Args:
        left_out: the jackknife (`left_out_values`): what each unit, or block of units, does to the statistic.
            Its kurtosis is taken with the usual correction for small samples.
        n: units, at least 2.

    >>> round(degrees_of_freedom(np.random.default_rng(0).normal(size=400), 400)) > 300
    True
    >>> round(degrees_of_freedom(np.random.default_rng(0).normal(size=400) ** 2, 400)) < 150
    True
    """
    left_out = left_out[np.isfinite(left_out)]
    b = len(left_out)
    pull = left_out - left_out.mean() if b else left_out
    spread = float((pull**2).mean()) if b else 0.0
    if b < _LEAST_FOR_KURTOSIS or spread <= 0:
        return n - 1
    excess = float((pull**4).mean()) / spread**2 - 3
    kurtosis = 3 + ((b + 1) * excess + 6) * (b - 1) / ((b - 2) * (b - 3))
    found = 2 * n / max(kurtosis - (b - 3) / (b - 1), 1e-9)
    # Below 3 the tails lie beyond what 2,000 resamples show.
    return min(n - 1, max(_LEAST_FREEDOM, found))


def undefined_because(y: np.ndarray, p: np.ndarray) -> str:
    """Why a score of these values may be undefined, one phrase; empty where nothing is amiss.

    >>> undefined_because(np.arange(3.0), np.ones(3))
    'all predictions are equal'
    """
    for what, values in (("measured values", y), ("predictions", p)):
        if (values == values[:1]).all():
            return f"all {what} are equal"
    return ""


def _bca_tails(value: float, drawn: np.ndarray, tails: np.ndarray, left_out: np.ndarray) -> np.ndarray | None:
    # Equal draws count half: rank correlations of small sets repeat exactly.
    below = (np.count_nonzero(drawn < value) + 0.5 * np.count_nonzero(drawn == value)) / len(drawn)
    left_out = left_out[np.isfinite(left_out)]
    if not 0 < below < 1 or len(left_out) < 3:
        return None
    bias = _NORMAL.inv_cdf(below)
    pull = left_out.mean() - left_out
    spread = float(np.sum(pull**2)) ** 1.5
    acceleration = float(np.sum(pull**3)) / (6 * spread) if spread > 0 else 0.0
    z = bias + np.array([_NORMAL.inv_cdf(t) for t in tails])
    # A tail that the acceleration carries past the last resample is that resample.
    return np.array([_NORMAL.cdf(bias + v / max(1 - acceleration * v, 1e-9)) for v in z])


def _quantiles(values: np.ndarray, tails: np.ndarray) -> tuple[float, float]:
    lo, hi = np.quantile(values, tails)
    return float(lo), float(hi)
