"""Scores with 95 % intervals: group bootstrap (percentile and BCa), paired comparison.

The scores of `bioeval.scores` take row weights, because a bootstrap resample is nothing but a count for every
row: one sorted order then serves all resamples, and a whole group is drawn by giving its rows the same count.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 (percentile), 14.3 (BCa,
equations 14.9, 14.10, 14.15) and 8.6 (resampling independent units, here groups).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.scores import LEAST_ROWS, weighted

_CELLS = 1 << 22  # weights held at once: 32 MiB of float64
_NORMAL = NormalDist()

Groups = Sequence[Any] | np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its 95 % bootstrap interval. Signs are kept; `None` means undefined.

    Attributes:
        value: on all rows.
        lo: lower bound by `method`.
        hi: upper bound by `method`.
        percentile: bounds by the percentile method.
        method: `bca`, or `percentile` where BCa is undefined (every resample on one side of the value).
        units: what was resampled, `rows` or `groups`, and how many.
        resamples: how many were drawn.
        undefined: how many of these had no value (all targets equal) and were left out.
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

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "value": self.value, "lo": self.lo, "hi": self.hi, "percentile": list(self.percentile),
            "method": self.method, "units": self.units, "n_units": self.n_units,
            "resamples": self.resamples, "undefined_resamples": self.undefined,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals are made.

    Attributes:
        resamples: bootstrap resamples, at least 100.
        seed: of the resampling alone.
        level: confidence level in (0, 1).
    """

    resamples: int = 2000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise ConfigError(f"resamples = {self.resamples}, allowed: at least 100 (2000 is usual)")
        if not 0 < self.level < 1:
            raise ConfigError(f"level = {self.level}, allowed: between 0 and 1")


def interval(
    metric: str, y: np.ndarray, p: np.ndarray, *, groups: Groups = None,
    how: Resampling | None = None,
) -> Interval:  # fmt: skip
    """A metric with its bootstrap interval.

    Args:
        metric: a name of `bioeval.scores.SCORES`.
        y: measured values `[n]`.
        p: predictions `[n]`.
        groups: a label for every row; rows of a group are drawn together, because related rows are no
            independent evidence. `None` draws single rows.
        how: resamples, seed, level.

    Raises:
        ConfigError: an unknown metric.
        DataError: lengths differ, or there are fewer than `LEAST_ROWS` rows.
    """
    function = weighted(metric)
    y, p = _checked(y, p)
    return _bootstrap(lambda w: function(y, p, w), len(y), groups, how or Resampling())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Paired difference a - b of a metric on the same rows.

    Attributes:
        delta: the difference with its interval.
        p_value: two-sided, from the share of resamples on the other side of 0, at least 2/(resamples + 1).
        test: name of the test.
    """

    delta: Interval
    p_value: float | None
    test: str = "paired bootstrap"

    def as_dict(self) -> dict[str, Any]:
        """`delta`, `lo`, `hi`, `p_value`, `test` and how it was made."""
        details = self.delta.as_dict()
        return {"delta": details.pop("value"), "lo": details.pop("lo"), "hi": details.pop("hi"),
                "p_value": self.p_value, "test": self.test, **details}  # fmt: skip


def compare(
    metric: str, y: np.ndarray, a: np.ndarray, b: np.ndarray, *, groups: Groups = None,
    how: Resampling | None = None,
) -> Comparison:  # fmt: skip
    """Metric of predictions `a` minus metric of predictions `b` on the same rows, resampled together.

    The sign is that of the metric itself: for `rmse` a negative difference means that `a` is better.

    Args:
        metric: a name of `bioeval.scores.SCORES`.
        y: measured values `[n]`.
        a: predictions of the one model `[n]`.
        b: predictions of the other `[n]`.
        groups: as for `interval`.
        how: resamples, seed, level.
    """
    function = weighted(metric)
    y, a = _checked(y, a)
    y, b = _checked(y, b)
    drawn: list[np.ndarray] = []
    delta = _bootstrap(
        lambda w: function(y, a, w) - function(y, b, w), len(y), groups, how or Resampling(), drawn
    )
    values = drawn[0]
    if delta.value is None or not len(values):
        return Comparison(delta=delta, p_value=None)
    tail = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return Comparison(delta=delta, p_value=float(min(1.0, 2 * (tail + 1) / (len(values) + 1))))


def _checked(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise DataError(f"{y.shape} measured values and {p.shape} predictions, equal numbers expected")
    if len(y) < LEAST_ROWS:
        raise DataError(f"{len(y)} rows, at least {LEAST_ROWS} are needed for an interval")
    return y, p


def _bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, groups: Groups, how: Resampling,
    keep: list[np.ndarray] | None = None,
) -> Interval:  # fmt: skip
    unit_of_row = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    units = int(unit_of_row.max()) + 1
    value = float(statistic(np.ones((1, n)))[0])
    draws = (statistic(counts[:, unit_of_row]) for counts in _draws(units, n, how))
    values = np.concatenate(list(draws))
    defined = values[np.isfinite(values)]
    if keep is not None:
        keep.append(defined)
    percentile, bounds, method = (None, None), (None, None), "percentile"
    if np.isfinite(value) and len(defined) >= how.resamples / 2 and units > 2:
        tails = np.array([(1 - how.level) / 2, (1 + how.level) / 2])
        bounds = percentile = _quantiles(defined, tails)
        corrected = _bca_tails(value, defined, tails, _leave_one_out(statistic, unit_of_row, units))
        if corrected is not None:
            bounds, method = _quantiles(defined, corrected), "bca"
    return Interval(
        value=value if np.isfinite(value) else None, lo=bounds[0], hi=bounds[1], percentile=percentile,
        method=method, units="rows" if groups is None else "groups", n_units=units,
        resamples=how.resamples, undefined=len(values) - len(defined),
    )  # fmt: skip


def _draws(units: int, n: int, how: Resampling) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(how.seed)
    step = max(1, _CELLS // n)
    for start in range(0, how.resamples, step):
        rows = min(step, how.resamples - start)
        drawn = rng.integers(0, units, size=(rows, units)) + units * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


def _leave_one_out(
    statistic: Callable[[np.ndarray], np.ndarray], unit_of_row: np.ndarray, units: int
) -> np.ndarray:
    step = max(1, _CELLS // len(unit_of_row))
    blocks = (np.arange(s, min(s + step, units)) for s in range(0, units, step))
    return np.concatenate([statistic((unit_of_row != b[:, None]).astype(np.float64)) for b in blocks])


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
    return np.array([_NORMAL.cdf(bias + v / (1 - acceleration * v)) for v in z])


def _quantiles(values: np.ndarray, tails: np.ndarray) -> tuple[float, float]:
    lo, hi = np.quantile(values, tails)
    return float(lo), float(hi)
