"""Places with intervals, tie groups, and the mean over repeated splits, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from biodata.errors import ConfigError, DataError
from bioeval.stats import Resampling, corrected_interval, joint_draws, resplits, standings
from bioeval.stats.ranks import Draws


def predictions(rng: np.random.Generator, y: np.ndarray, noise: list[float]) -> dict[str, np.ndarray]:
    return {f"m{i}": y + s * rng.standard_normal(len(y)) for i, s in enumerate(noise)}


def test_places_of_clear_and_of_equal_models() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal(400)
    models = predictions(rng, y, [0.2, 1.0, 1.0, 5.0]) | {"twin": y}
    models["twin"] = models["m0"].copy()
    for metric in ("spearman", "rmse"):  # of one higher is better, of the other lower
        found = standings(joint_draws(metric, y, models, how=Resampling(resamples=500)))
        assert (found["m0"].rank, found["m0"].lo, found["m0"].hi, found["m0"].group) == (1, 1, 2, 1)
        assert (found["twin"].rank, found["twin"].lo, found["twin"].hi) == (1, 1, 2)
        assert found["m1"].group == found["m2"].group == 2
        assert (found["m1"].lo, found["m1"].hi, found["m3"].lo, found["m3"].hi) == (3, 4, 5, 5)
        assert set(found["m1"].beats) == {"m3"} and found["m3"].group == 3


def test_true_place_is_covered_also_of_equal_models() -> None:
    rng = np.random.default_rng(1)
    true = {"m0": (1, 1), "m1": (2, 4), "m2": (2, 4), "m3": (2, 4), "m4": (5, 5)}  # m1, m2, m3 are equal
    covered = {name: 0 for name in true}
    runs = 200
    for seed in range(runs):
        y = rng.standard_normal(60)
        models = predictions(rng, y, [0.8, 1.0, 1.0, 1.0, 1.2])
        found = standings(joint_draws("rmse", y, models, how=Resampling(resamples=200, seed=seed)))
        for name, (lo, hi) in true.items():
            covered[name] += found[name].lo <= lo and hi <= found[name].hi
    assert min(covered.values()) / runs >= 0.93, covered


def test_equal_models_are_one_tie_group() -> None:
    rng = np.random.default_rng(3)
    torn = 0
    for seed in range(200):
        y = rng.standard_normal(50)
        models = predictions(rng, y, [1.0] * 4)
        found = standings(joint_draws("mae", y, models, how=Resampling(resamples=200, seed=seed)))
        torn += max(place.group for place in found.values()) > 1
    assert torn / 200 <= 0.09  # 5 % in large test sets


def test_models_without_a_score_are_left_out() -> None:
    rng = np.random.default_rng(2)
    y = rng.standard_normal(50)
    models = {"good": y + rng.standard_normal(50), "constant": np.zeros(50)}
    found = standings(joint_draws("spearman", y, models, how=Resampling(resamples=200)))
    assert list(found) == ["good"] and found["good"].hi == 1
    nothing = Draws(names=(), values=np.empty(0), draws=np.empty((0, 9)), lower_is_better=True)
    assert standings(nothing) == {}


def test_resplits_keep_groups_whole_and_differ() -> None:
    groups = np.repeat(np.arange(10), 3)
    seen = set()
    for train, test in resplits(30, repeats=20, test_share=0.2, groups=groups):
        assert len(test) == 6 and sorted([*train, *test]) == list(range(30))
        assert not set(groups[train]) & set(groups[test])
        seen.add(tuple(test))
    assert len(seen) > 10
    again = [tuple(t) for _, t in resplits(30, repeats=20, test_share=0.2, groups=groups)]
    assert set(again) == seen
    for settings in ({"repeats": 4, "test_share": 0.2}, {"repeats": 5, "test_share": 1.0}):
        with pytest.raises(ConfigError, match="allowed"):
            next(resplits(30, **settings))
    with pytest.raises(DataError, match="1 group, at least 2"):
        next(resplits(5, repeats=5, test_share=0.2, groups=["a"] * 5))


def test_mean_over_splits_covers_where_the_plain_error_does_not() -> None:
    """The mean squared error of a fitted mean over 15 random splits of the same 40 rows."""
    rng = np.random.default_rng(4)
    n, repeats, runs = 40, 15, 300
    truth = 1 + 1 / 32  # of a mean of 32 rows of variance 1
    hits = {"corrected": 0, "plain": 0}
    for seed in range(runs):
        y = rng.standard_normal(n)
        splits = resplits(n, repeats=repeats, test_share=0.2, seed=seed)
        scores = [float(((y[test] - y[train].mean()) ** 2).mean()) for train, test in splits]
        found = corrected_interval(scores, n_train=32, n_test=8)
        plain = scipy_stats.t.interval(0.95, repeats - 1, np.mean(scores), scipy_stats.sem(scores))
        hits["corrected"] += found.lo <= truth <= found.hi
        hits["plain"] += plain[0] <= truth <= plain[1]
    assert hits["corrected"] / runs >= 0.85 > 0.7 > hits["plain"] / runs, hits


def test_wrong_scores_are_one_line() -> None:
    with pytest.raises(DataError, match="3 splits, at least 5"):
        corrected_interval([1.0, 2.0, 3.0], n_train=8, n_test=2)
    with pytest.raises(DataError, match="split 1 is undefined"):
        corrected_interval([1.0, float("nan"), 3.0, 1.0, 1.0], n_train=8, n_test=2)
    with pytest.raises(ConfigError, match="n_test = 0"):
        corrected_interval([1.0] * 5, n_train=8, n_test=0)
