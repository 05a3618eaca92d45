"""Two models on the same items: paired bootstrap interval, paired permutation test, power.

The interval resamples items (or groups) with both models' predictions. The p-value swaps the two models'
predictions for each item (or group) with chance 1/2 and counts how often the difference is as large as the
one seen (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, chapter 3; the seen one is
one of them: Phipson & Smyth 2010, doi:10.2202/1544-6115.1585). Predictions are swapped on a common scale:
ranks where only order counts, standardised where scale does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from biodata.errors import DataError
from bioeval.scores import weighted
from bioeval.stats.bootstrap import Interval, interval_of_draws, undefined_because
from bioeval.stats.power import detectable_difference, items_needed
from bioeval.stats.resampling import (
    GAPS,
    Groups,
    Resampling,
    bootstrap_draws,
    checked,
    swaps,
    units_of,
)

RANKED = frozenset({"spearman", "auroc", "auprc", "ndcg10", "top10-recall"})
"""Metrics that see nothing but the order of predictions (in each column)."""
STANDARDISED = frozenset({"pearson"})
"""Metrics that do not see the predictions' unit."""
NAMES_ONLY = frozenset({"v-measure", "adjusted-rand"})
"""Metrics of clusterings: what one calls cluster 3 is not what another calls so, nothing can be swapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Paired difference a - b of a metric on the same rows.

    Attributes:
        delta: the difference with its paired bootstrap interval.
        p_value: two-sided, of the test.
        p_bootstrap: two-sided, from the share of bootstrap resamples on the other side of 0.
        spread: standard error of the difference, from the bootstrap, in the unit of the metric.
        detectable: smallest true difference that these items show with 80 % power.
        test: name of the test.
    """

    delta: Interval
    p_value: float | None
    p_bootstrap: float | None = None
    spread: float | None = None
    detectable: float | None = None
    test: str = "paired permutation"

    @property
    def items_needed(self) -> int | None:
        """Units that would show a difference as large as the one seen, with 80 % power."""
        if not self.delta.value or not self.detectable:
            return None
        return items_needed(self.delta.n_units, self.delta.value, self.detectable)

    @property
    def power_sentence(self) -> str:
        """For people: what these items cannot tell; empty where nothing is known."""
        if not self.detectable:
            return ""
        what = f"{self.delta.n_units:,} {self.delta.units}"
        return f"this test set ({what}) cannot tell apart differences under {self.detectable:.2g}"

    def as_dict(self) -> dict[str, Any]:
        """`delta`, `lo`, `hi`, `p_value`, `test` and how it was made."""
        details = self.delta.as_dict()
        return {
            "delta": details.pop("value"), "lo": details.pop("lo"), "hi": details.pop("hi"),
            "p_value": self.p_value, "test": self.test, "p_bootstrap": self.p_bootstrap,
            "spread": self.spread, "detectable": self.detectable, "items_needed": self.items_needed,
            **details,
        }  # fmt: skip


def compare(
    metric: str, y: np.ndarray, a: np.ndarray, b: np.ndarray, *, groups: Groups = None,
    how: Resampling | None = None,
) -> Comparison:  # fmt: skip
    """Metric of predictions `a` minus metric of predictions `b` on the same rows.

    The sign is that of the metric itself: for `rmse` a negative difference means that `a` is better.

    Args:
        metric: a name of `bioeval.scores.SCORES`.
        y: measured values `[n]` or `[n, k]`.
        a: predictions of the one model `[n]` or `[n, k]`.
        b: predictions of the other, the same shape.
        groups: as for `interval`; rows of a group are drawn, and swapped, together.
        how: resamples, as many permutations, seed, level.

    Raises:
        ConfigError: an unknown metric.
        DataError: lengths differ, there are too few rows, or a value is NaN.
    """
    function, gaps = weighted(metric), metric in GAPS
    (y, a), (y, b) = checked(y, a, gaps=gaps), checked(y, b, gaps=gaps)
    if a.shape != b.shape:
        raise DataError(f"predictions of {a.shape} and of {b.shape}, equal shapes expected")
    how, units = how or Resampling(), units_of(len(y), groups)

    def difference(weights: np.ndarray) -> np.ndarray:
        return function(y, a, weights) - function(y, b, weights)

    draws = bootstrap_draws(difference, units, how)
    reason = undefined_because(y, a) or undefined_because(y, b)
    delta = interval_of_draws(difference, draws, units, how, reason=reason)
    defined = draws[np.isfinite(draws)]
    if delta.value is None or delta.lo is None:
        return Comparison(delta=delta, p_value=None)
    p_value = None
    if metric not in NAMES_ONLY:
        p_value = permutation_test(metric, y, a, b, groups=groups, how=how)
    return _with_power(delta, defined, p_value, level=how.level)


def _with_power(delta: Interval, draws: np.ndarray, permuted: float | None, *, level: float) -> Comparison:
    spread, p_bootstrap = float(draws.std(ddof=1)), _bootstrap_p(draws)
    return Comparison(
        delta=delta, p_value=p_bootstrap if permuted is None else permuted, p_bootstrap=p_bootstrap,
        spread=spread, detectable=detectable_difference(spread, level=level),
        test="paired bootstrap" if permuted is None else "paired permutation",
    )  # fmt: skip


def _bootstrap_p(values: np.ndarray) -> float:
    tail = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return float(min(1.0, 2 * (tail + 1) / (len(values) + 1)))


def permutation_test(
    metric: str, y: np.ndarray, a: np.ndarray, b: np.ndarray, *, groups: Groups = None,
    how: Resampling | None = None,
) -> float:  # fmt: skip
    """Two-sided p-value of the difference between two models, at least 1 / (permutations + 1).

    Both models' rows stand one below the other; a swap moves the weight of a row to its other half.

    Args:
        metric: a name of `bioeval.scores.SCORES`, none of `NAMES_ONLY`.
        y: measured values `[n]` or `[n, k]`.
        a: predictions of the one model.
        b: predictions of the other, the same shape.
        groups: as for `interval`; rows of a group are swapped together.
        how: permutations, seed.
    """
    function, units = weighted(metric), units_of(len(y), groups)
    twice = np.concatenate([y, y])
    both = np.concatenate([_common_scale(metric, a), _common_scale(metric, b)])

    def difference(swapped: np.ndarray) -> np.ndarray:
        first = np.concatenate([~swapped, swapped], axis=1).astype(np.float64)
        return function(twice, both, first) - function(twice, both, 1 - first)

    seen = abs(difference(np.zeros((1, len(y)), dtype=bool))[0])
    values = np.concatenate([difference(block) for block in swaps(units, how or Resampling())])
    values = values[np.isfinite(values)]
    as_large = np.count_nonzero(np.abs(values) >= seen * (1 - 1e-9) - 1e-12)
    return float((as_large + 1) / (len(values) + 1))


def _common_scale(metric: str, predictions: np.ndarray) -> np.ndarray:
    if metric in RANKED:
        from scipy.stats import rankdata

        return rankdata(predictions, axis=0)
    if metric in STANDARDISED:
        return (predictions - predictions.mean(0)) / predictions.std(0)
    return predictions
