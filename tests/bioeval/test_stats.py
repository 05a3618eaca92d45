"""Intervals against scipy and scikit-learn, and their calibration by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from biodata.errors import ConfigError, DataError
from bioeval.scores import SCORES, score
from bioeval.stats import Resampling, interval
from bioeval.stats.bootstrap import degrees_of_freedom, tail_level
from bioeval.stats.resampling import bootstrap_draws, left_out_values, units_of

RNG = np.random.default_rng(7)
Y = RNG.integers(0, 12, 60).astype(float)  # many ties
P = Y + RNG.integers(-5, 6, 60)
REFERENCES = {
    "spearman": lambda y, p: scipy_stats.spearmanr(y, p)[0],
    "pearson": lambda y, p: scipy_stats.pearsonr(y, p)[0],
    "r2": sk.r2_score,
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
}


def test_every_metric_has_a_reference() -> None:
    assert set(REFERENCES) <= set(SCORES)  # the others: test_scores.py


@pytest.mark.parametrize("metric", REFERENCES)
def test_metric_equals_its_reference(metric: str) -> None:
    assert score(metric, Y, P) == pytest.approx(REFERENCES[metric](Y, P), abs=1e-12)


@pytest.mark.parametrize("metric", REFERENCES)
def test_weights_are_repeated_rows(metric: str) -> None:
    weights = np.stack([np.bincount(RNG.integers(0, 60, 60), minlength=60) for _ in range(5)]).astype(float)
    found = SCORES[metric](Y, P, weights)
    for row, value in zip(weights.astype(int), found):
        repeated = np.repeat(np.arange(60), row)
        assert value == pytest.approx(REFERENCES[metric](Y[repeated], P[repeated]), abs=1e-10)


def test_constants_have_no_correlation() -> None:
    for metric in ("spearman", "pearson", "r2"):
        assert np.isnan(score(metric, np.full(9, 0.1), np.arange(9.0)))
    for metric in ("spearman", "pearson"):
        assert np.isnan(score(metric, np.arange(9.0), np.full(9, 1e-9)))
    found = interval("spearman", np.arange(9.0), np.full(9, 3.0), how=Resampling(resamples=100))
    assert found.value is None and found.lo is None and found.undefined == 100
    assert found.reason == "all predictions are equal" == found.as_dict()["reason"]
    one = interval("spearman", np.full(9, 3.0), np.arange(9.0), how=Resampling(resamples=100))
    assert one.reason == "all measured values are equal"


def test_small_spread_is_no_constant() -> None:
    assert score("pearson", np.arange(5.0) * 1e-9, np.arange(5.0)) == pytest.approx(1)


def test_undefined_resamples_are_left_out_and_counted() -> None:
    y = np.array([0.0, 0, 0, 0, 0, 1])
    found = interval("pearson", y, np.array([0.1, 0.2, 0, 0.1, 0.3, 0.9]), how=Resampling(resamples=500))
    assert 100 < found.undefined < 250  # (5/6)^6 = 0.33 of all resamples miss the only 1
    assert found.lo is not None and found.hi is not None


def test_negative_correlation_stays_negative() -> None:
    found = interval("spearman", Y, -P, how=Resampling(resamples=500))
    assert found.value is not None and found.hi is not None
    assert found.value < 0 and found.hi < 0
    assert interval("spearman", Y, P, how=Resampling(resamples=500)).lo == pytest.approx(-found.hi, abs=0.03)


def test_percentile_and_bca_equal_scipy() -> None:
    """The same resampling scheme in scipy; 20,000 resamples leave little noise."""
    n = 40
    rng = np.random.default_rng(3)
    y = rng.normal(size=n)
    p = y + rng.normal(size=n)
    ours = interval("pearson", y, p, how=Resampling(resamples=20000, seed=1))

    def pearson(a, b, axis):
        a, b = a - a.mean(axis, keepdims=True), b - b.mean(axis, keepdims=True)
        return (a * b).sum(axis) / np.sqrt((a * a).sum(axis) * (b * b).sum(axis))

    # Hesterberg's widening for 40 rows is a higher level to scipy; O'Neill's degrees of freedom
    jackknife = [scipy_stats.pearsonr(np.delete(y, i), np.delete(p, i))[0] for i in range(n)]
    kurtosis = scipy_stats.kurtosis(jackknife, fisher=False, bias=False)
    freedom = 2 * n / (kurtosis - (n - 3) / (n - 1))
    assert 3 < freedom < n - 1
    tail = scipy_stats.norm.cdf(np.sqrt(n / (n - 1)) * scipy_stats.t.ppf(0.025, freedom))
    for method, bounds in (("percentile", ours.percentile), ("BCa", (ours.lo, ours.hi))):
        reference = scipy_stats.bootstrap(
            (y, p), pearson, paired=True, vectorized=True, n_resamples=20000, method=method, rng=rng,
            confidence_level=float(1 - 2 * tail),
        ).confidence_interval  # fmt: skip
        assert bounds == pytest.approx((reference.low, reference.high), abs=0.012)
    assert ours.method == "bca"


RHO = 0.6
TRUTH = {  # of a bivariate normal of correlation RHO, in closed form
    "spearman": 6 / np.pi * np.arcsin(RHO / 2),
    "pearson": RHO,
    "r2": 2 * RHO - 1,
    "rmse": np.sqrt(2 - 2 * RHO),
    "mae": np.sqrt((2 - 2 * RHO) * 2 / np.pi),
}


@pytest.mark.parametrize(
    ("metric", "n"),
    [
        ("spearman", 40),
        ("spearman", 60),
        ("pearson", 25),
        ("mae", 25),
        ("rmse", 25),
        ("rmse", 40),
        ("rmse", 100),
    ],
)
def test_coverage_is_95_percent(metric: str, n: int) -> None:
    """With Hesterberg's n - 1 degrees of freedom alone it is 93.3 % for the RMSE of 40 rows. The percentile
    bounds of the RMSE of 25 rows cover 92 to 93 %."""
    rng = np.random.default_rng(11)
    runs, hits = 800, np.zeros(2)
    for seed in range(runs):
        y, e = rng.standard_normal((2, n))
        found = interval(
            metric, y, RHO * y + np.sqrt(1 - RHO**2) * e, how=Resampling(resamples=400, seed=seed)
        )
        for i, (lo, hi) in enumerate(((found.lo, found.hi), found.percentile)):
            assert lo is not None and hi is not None
            hits[i] += lo <= TRUTH[metric] <= hi
    least = np.array([0.93, 0.92 if (metric, n) == ("rmse", 25) else 0.93])
    assert np.all((hits / runs >= least) & (hits / runs <= 0.97)), hits / runs


@pytest.mark.parametrize("metric", ["accuracy", "map", "cross-entropy"])
def test_coverage_of_few_classes_and_queries(metric: str) -> None:
    """Of many true values: the steps of an accuracy of 35 rows move the coverage of a single one by 3 %."""
    rng = np.random.default_rng(3)
    runs, hits, n = 800, 0, 35
    for seed in range(runs):
        y, truth = rng.integers(0, 2, n), rng.uniform(0.55, 0.85)
        if metric == "accuracy":
            p = np.eye(2)[np.where(rng.random(n) < truth, y, 1 - y)]
        elif metric == "map":
            y, p = np.zeros(n), np.stack([rng.beta(5 * truth, 5 - 5 * truth, n), np.ones(n)], axis=1)
        else:  # -ln of the right class: gamma of this mean; exponential, with a longer tail, it is 92.9 %
            right = np.exp(-rng.gamma(2, truth / 2, n))
            p = np.where(np.arange(2) == y[:, None], right[:, None], 1 - right[:, None])
        found = interval(metric, y, p, how=Resampling(resamples=400, seed=seed))
        assert found.lo is not None and found.hi is not None
        hits += found.lo <= truth <= found.hi
    assert 0.93 <= hits / runs <= 0.97, hits / runs


def test_few_units_that_decide_widen_the_tails() -> None:
    rng = np.random.default_rng(2)
    even, rare = rng.normal(size=60), np.zeros(60)
    rare[:2] = 1
    assert degrees_of_freedom(even, 60) > 40 and degrees_of_freedom(rare, 60) < 5
    assert degrees_of_freedom(np.sign(even), 60) == 59  # never more than Student's
    assert degrees_of_freedom(np.ones(60), 60) == 59 and degrees_of_freedom(np.arange(4.0), 4) == 3
    assert tail_level(0.95, 60, freedom=3)[0] < tail_level(0.95, 60)[0] < 0.025


def test_only_the_group_bootstrap_covers_the_truth_of_related_rows() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(30), 10)
    hits = {"rows": 0, "groups": 0}
    for seed in range(100):
        y, p = (rng.normal(size=30)[groups] + rng.normal(0, 0.2, 300) for _ in range(2))
        for labels in (None, groups.astype(str)):
            how = Resampling(resamples=200, seed=seed)
            found = interval("pearson", y, p, groups=labels, how=how)
            assert found.lo is not None and found.hi is not None
            assert found.n_units == (300 if labels is None else 30)
            hits[found.units] += found.lo <= 0 <= found.hi
    assert hits["rows"] < 65 and hits["groups"] >= 87, hits


def test_group_of_one_row_each_is_the_row_bootstrap() -> None:
    how = Resampling(resamples=300, seed=2)
    alone = interval("spearman", Y, P, groups=np.arange(60), how=how)
    assert (alone.lo, alone.hi) == (
        interval("spearman", Y, P, how=how).lo,
        interval("spearman", Y, P, how=how).hi,
    )


def test_seed_decides_and_nothing_else() -> None:
    state = np.random.get_state()[1].copy()  # pyright: ignore
    a, b, c = (interval("spearman", Y, P, how=Resampling(resamples=300, seed=s)) for s in (1, 1, 2))
    assert a == b and a != c
    assert np.array_equal(state, np.random.get_state()[1])  # pyright: ignore


def test_wrong_input_is_one_line() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'auc'"):
        score("auc", Y, P)
    with pytest.raises(DataError, match="2 rows, at least 3"):
        interval("spearman", Y[:2], P[:2])
    with pytest.raises(DataError, match="equal numbers expected"):
        interval("spearman", Y, P[:5])
    with pytest.raises(DataError, match="1 of 60 predictions are no number, the first in row 7"):
        interval("spearman", Y, np.where(np.arange(60) == 7, np.nan, P))
    with pytest.raises(DataError, match="2 of 60 measured values are no number, the first in row 0"):
        interval("spearman", np.where(np.arange(60) < 2, np.inf, Y), P)
    with pytest.raises(DataError, match="59 group labels for 60 rows"):
        interval("spearman", Y, P, groups=range(59))


def test_two_groups_have_no_interval_and_it_says_so() -> None:
    found = interval("spearman", Y, P, groups=np.arange(60) % 2, how=Resampling(resamples=100))
    assert found.value is not None and found.lo is None
    assert found.reason == "2 groups, at least 3 are needed for an interval"


def test_classes_and_labels_have_intervals_too() -> None:
    y = np.arange(60) % 3
    p = np.eye(3)[y] + 2 * RNG.random((60, 3))
    found = interval("accuracy", y, p, how=Resampling(resamples=200))
    assert found.lo is not None and found.hi is not None and found.lo < found.hi and not found.reason
    perfect = interval("balanced-accuracy", y, np.eye(3)[y], how=Resampling(resamples=200))
    assert (perfect.lo, perfect.hi) == (1, 1) and "a perfect score" in perfect.reason
    labels = np.where(RNG.random((60, 2)) < 0.1, np.nan, RNG.integers(0, 2, (60, 2)))
    assert interval("auroc", labels, RNG.random((60, 2)), how=Resampling(resamples=200)).lo is not None


def test_blocks_of_left_out_rows_give_the_acceleration_of_all() -> None:
    rng = np.random.default_rng(1)
    x = rng.exponential(size=3000)
    units = units_of(3000, None)

    def acceleration(values: np.ndarray) -> float:
        pull = values.mean() - values
        return float((pull**3).sum() / (6 * (pull**2).sum() ** 1.5))

    def mean(w: np.ndarray) -> np.ndarray:
        return w @ x / w.sum(1)

    each, blocks = (acceleration(left_out_values(mean, units, most=m)) for m in (3000, 500))
    assert each == pytest.approx(scipy_stats.skew(x) / (6 * np.sqrt(3000)), rel=0.01)
    assert blocks == pytest.approx(each, abs=3 * 0.4 / 500)


def test_resamples_do_not_depend_on_the_block() -> None:
    units = units_of(50, None)
    whole = bootstrap_draws(lambda w: w @ np.arange(50.0), units, Resampling(resamples=100, seed=4))
    drawn = np.random.default_rng(4).integers(0, 50, size=(100, 50))
    assert np.array_equal(whole, drawn.sum(1))
