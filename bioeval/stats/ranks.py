"""Places in a ranking: which are open, and which models cannot be told apart.

All models are scored on the same bootstrap resamples, so that what they share cancels in their differences.
A model's place is at least 1 + the number of models surely better, at most k - the number surely worse, where
"surely" means that the difference leaves an interval that holds for all comparisons of this model at once
(largest studentised difference over the others). Such an interval covers the true place with 95 % also where
models are equally good; the percentiles of resampled ranks do not.

Source: Mogstad, Romano, Shaikh & Wilhelm 2024, Inference for Ranks with Applications to Mobility across
Neighbourhoods and Academic Achievement across Countries (doi:10.1093/restud/rdad006), sections 3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bioeval.scores import LOWER_IS_BETTER, weighted
from bioeval.stats.resampling import GAPS, Groups, Resampling, bootstrap_draws, checked, units_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Scores of several models on the same resamples.

    Attributes:
        names: of the models.
        values: on all rows `[k]`, NaN where undefined.
        draws: `[k, resamples]`, NaN where undefined.
        lower_is_better: which way is better.
    """

    names: tuple[str, ...]
    values: np.ndarray
    draws: np.ndarray
    lower_is_better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A model's place.

    Attributes:
        rank: 1 + the number of models with a better score.
        lo: best place that is open to it.
        hi: worst place.
        group: number of its tie group, from 1; the models of a group cannot be told from the best of them.
        beats: names of the models it is surely better than.
    """

    rank: int
    lo: int
    hi: int
    group: int
    beats: tuple[str, ...]


def joint_draws(
    metric: str, y: np.ndarray, predictions: Mapping[str, np.ndarray], *, groups: Groups = None,
    how: Resampling | None = None,
) -> Draws:  # fmt: skip
    """Scores all models on the same bootstrap resamples.

    Args:
        metric: a name of `bioeval.scores.SCORES`.
        y: measured values `[n]` or `[n, k]`.
        predictions: of each model on these rows.
        groups: as for `interval`.
        how: resamples, seed.
    """
    how = how or Resampling()
    function, gaps = weighted(metric), metric in GAPS
    units = units_of(len(y), groups)
    pairs = [checked(y, p, gaps=gaps) for p in predictions.values()]

    def scores(weights: np.ndarray) -> np.ndarray:
        return np.stack([function(measured, p, weights) for measured, p in pairs], axis=1)

    values = scores(np.ones((1, len(y))))[0] if pairs else np.empty(0)
    draws = bootstrap_draws(scores, units, how).T if pairs else np.empty((0, how.resamples))
    return Draws(
        names=tuple(predictions), values=values, draws=draws, lower_is_better=metric in LOWER_IS_BETTER,
    )  # fmt: skip


def standings(found: Draws, *, level: float = 0.95) -> dict[str, Standing]:
    """Places with intervals and tie groups; models without a score are left out.

    Args:
        found: scores on joint resamples.
        level: of each model's interval of places, and of all comparisons behind the tie groups at once.
    """
    usable = [
        i for i, d in enumerate(found.draws)
        if np.isfinite(found.values[i]) and np.isfinite(d).mean() >= 0.5
    ]  # fmt: skip
    if not usable:
        return {}
    sign = -1.0 if found.lower_is_better else 1.0
    values, draws = sign * found.values[usable], sign * found.draws[usable]
    draws = draws[:, np.isfinite(draws).all(0)]
    names = [found.names[i] for i in usable]
    ahead, largest = _studentised(values, draws)
    # ahead[i, j] > c: i is surely better than j
    alone = np.array([np.quantile(row, level) for row in largest])
    groups = _tie_groups(values, ahead > np.quantile(largest.max(0), level))
    result = {}
    for i, name in enumerate(names):
        wins, losses = ahead[i] > alone[i], ahead[:, i] > alone[i]
        result[name] = Standing(
            rank=1 + int((values > values[i]).sum()), lo=1 + int(losses.sum()),
            hi=len(names) - int(wins.sum()), group=groups[i],
            beats=tuple(names[j] for j in np.flatnonzero(wins)),
        )  # fmt: skip
    return result


def _studentised(values: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences over their standard errors `[k, k]`, and for each model and resample the largest noise."""
    ahead = np.zeros((len(values), len(values)))
    largest = np.zeros(draws.shape)
    for i in range(len(values)):
        noise = (draws[i] - draws) - (values[i] - values)[:, None]
        spread = np.sqrt((noise**2).mean(1))
        known = spread > 1e-12
        ahead[i, known] = (values[i] - values[known]) / spread[known]
        # two models that always score alike have no noise between them
        ahead[i, ~known] = np.where(np.abs(values[i] - values[~known]) > 1e-12, np.inf, 0)
        ahead[i, ~known] *= np.sign(values[i] - values[~known])
        if known.any():
            largest[i] = np.abs(noise[known] / spread[known, None]).max(0)
    return ahead, largest


def _tie_groups(values: np.ndarray, surely: np.ndarray) -> list[int]:
    groups = [0] * len(values)
    number, leader = 0, None
    for i in np.argsort(-values, kind="stable"):
        if leader is None or surely[leader, i]:
            number, leader = number + 1, i
        groups[i] = number
    return groups
