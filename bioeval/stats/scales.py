"""Intervals of the scores that a bootstrap of the score itself serves badly, each on a scale of its own.

RMSE and R2: squared errors have long tails, and a set without its largest ones shows too small a score and
too small a spread at once. The bootstrap is therefore studentised: what is resampled is (L* - L) / s*, where
L is the logarithm of a ratio of sums over units (squared errors to rows, or to squared deviations of the
targets) and s* its standard error in the same resample, by the delta method
sqrt(sum_u c_u (a_u / A - b_u / B)^2) for units drawn c_u times. Sources: Efron & Tibshirani 1993, section
12.5 (bootstrap-t on a transformed scale); Davison & Hinkley 1997, section 2.7.2
(doi:10.1017/CBO9780511802843). Tails are widened as those of the other intervals (`bioeval.stats.bootstrap`).

Groupings and Fmax: a row that is drawn twice agrees with itself, and the best threshold of repeated rows
fits them too well, so resamples score better than fresh rows do. Leaving rows out has no such bias: the
jackknife's standard error (Efron & Tibshirani 1993, chapter 11) with Student's t of n - 1 on the scale
arcsin sqrt(v), which makes the spread of a share even; v is the score or, of the adjusted Rand index A,
(1 + A) / 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bioeval.stats.resampling import Resampling, Units, bootstrap_draws

Bounds = tuple[float, float] | None
_NO_SPREAD = 1e-6  # on the arcsine scale, where rounding of a perfect score is 1e-8


@dataclass(frozen=True, slots=True)
class LogRatio:
    """A score that is a function of the logarithm of a ratio of sums over units.

    Attributes:
        parts: of targets and predictions: the sums' terms a, of each row `[n]`, and b, as polynomial
            coefficients `[n, d]` in the weighted mean of y (`[n, 1]` where the mean plays no part).
        score: the score of exp(L).
        falls: whether the score falls as L grows.
    """

    parts: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    score: Callable[[np.ndarray], np.ndarray]
    falls: bool = False


LOG_RATIOS: Mapping[str, LogRatio] = {
    "rmse": LogRatio(lambda y, p: ((y - p) ** 2, np.ones((len(y), 1))), np.sqrt),
    "r2": LogRatio(
        # (y - mean)^2 as a polynomial in the mean; about y's own mean, so that no digits are lost
        lambda y, p: ((y - p) ** 2, np.stack([(y - y.mean()) ** 2, -2 * (y - y.mean()), np.ones(len(y))], 1)),
        lambda ratio: 1 - ratio,
        falls=True,
    ),
}
JACKKNIFED: Mapping[str, tuple[float, float]] = {
    "v-measure": (0, 1),
    "adjusted-rand": (-1, 1),
    "fmax": (0, 1),
}
"""The ends of a score, which lie at 0 and 1 of the arcsine scale."""


def studentised(
    ratio: LogRatio, y: np.ndarray, p: np.ndarray, *, units: Units, how: Resampling, tails: np.ndarray
) -> Bounds:
    """Bounds of a score by the studentised bootstrap; None where too few resamples have a spread.

    Args:
        ratio: what the score is made of.
        y: measured values `[n]`.
        p: predictions `[n]`.
        units: rows or groups.
        how: resamples and seed; the resamples are those of the other intervals.
        tails: the two tails, in (0, 1).
    """
    a, b = (_by_unit(part, units) for part in ratio.parts(y, p))
    first = np.unique(units.of_row, return_index=True)[1]

    def both(weights: np.ndarray) -> np.ndarray:
        drawn = weights[:, first]
        powers = _powers(drawn @ b, b.shape[1])
        below = powers @ b.T
        total_a, total_b = drawn @ a, np.einsum("bu,bu->b", drawn, below)
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = a / total_a[:, None] - below / total_b[:, None]
            spread = np.sqrt(np.einsum("bu,bu,bu->b", drawn, pull, pull))
            return np.stack([np.log(total_a / total_b), spread], axis=1)

    value, error = both(np.ones((1, len(y))))[0]
    if not np.isfinite(value) or not error > 0:
        return None
    drawn = bootstrap_draws(both, units, how)
    with np.errstate(divide="ignore", invalid="ignore"):
        pulls = (drawn[:, 0] - value) / drawn[:, 1]
    pulls = pulls[np.isfinite(pulls)]
    if len(pulls) < how.resamples / 2:
        return None
    bounds = ratio.score(np.exp(value - error * np.quantile(pulls, tails[::-1])))
    return (float(bounds[1]), float(bounds[0])) if ratio.falls else (float(bounds[0]), float(bounds[1]))


def jackknifed(metric: str, value: float, left_out: np.ndarray, *, level: float, n: int) -> Bounds:
    """Bounds of a score from leaving units out; None where that changes nothing.

    Args:
        metric: a name of `JACKKNIFED`.
        value: of all rows.
        left_out: the score without each unit or block of units.
        level: confidence level in (0, 1).
        n: units.

    >>> out = np.array([0.5, 0.6, 0.4, 0.5])
    >>> [round(v, 2) for v in jackknifed("v-measure", 0.5, out, level=0.95, n=4)]
    [0.15, 0.85]
    """
    from scipy.special import stdtrit

    least, most = JACKKNIFED[metric]

    def scaled(values: np.ndarray) -> np.ndarray:
        return np.arcsin(np.sqrt(np.clip((values - least) / (most - least), 0, 1)))

    moved = scaled(left_out[np.isfinite(left_out)])
    if len(moved) < 3:
        return None
    error = np.sqrt((len(moved) - 1) * np.mean((moved - moved.mean()) ** 2))
    if error < _NO_SPREAD:
        return None
    reach = stdtrit(n - 1, (1 + level) / 2) * error * np.array([-1, 1])
    shares = np.sin(np.clip(scaled(np.array(value)) + reach, 0, np.pi / 2)) ** 2
    lo, hi = least + (most - least) * shares
    return float(lo), float(hi)


def _by_unit(part: np.ndarray, units: Units) -> np.ndarray:
    if units.kind == "rows":
        return part
    columns = part.reshape(len(part), -1).T
    summed = [np.bincount(units.of_row, column, minlength=units.count) for column in columns]
    return summed[0] if part.ndim == 1 else np.stack(summed, axis=1)


def _powers(sums: np.ndarray, degree: int) -> np.ndarray:
    """1, m, m^2 for each resample, m its mean of y: of (y - m)^2 the sums are those of y^2, -2 y and 1."""
    if degree == 1:
        return np.ones((len(sums), 1))
    mean = -sums[:, 1] / (2 * sums[:, 2])
    return np.stack([np.ones(len(sums)), mean, mean**2], axis=1)
