"""Statistics against scipy and scikit-learn, and calibration by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from biodata.errors import ConfigError, DataError
from bioeval.scores import SCORES, score
from bioeval.stats import Resampling, compare, interval

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

    for method, bounds in (("percentile", ours.percentile), ("BCa", (ours.lo, ours.hi))):
        reference = scipy_stats.bootstrap(
            (y, p), pearson, paired=True, vectorized=True, n_resamples=20000, method=method, rng=rng
        ).confidence_interval
        assert bounds == pytest.approx((reference.low, reference.high), abs=0.012)
    assert ours.method == "bca"


def test_coverage_is_near_95_percent() -> None:
    rng = np.random.default_rng(11)
    rho, n, runs = 0.6, 80, 400
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman of a bivariate normal
    hits = np.zeros(2)
    for seed in range(runs):
        y, e = rng.standard_normal((2, n))
        found = interval(
            "spearman", y, rho * y + np.sqrt(1 - rho**2) * e, how=Resampling(resamples=400, seed=seed)
        )
        for i, (lo, hi) in enumerate(((found.lo, found.hi), found.percentile)):
            assert lo is not None and hi is not None
            hits[i] += lo <= truth <= hi
    assert np.all((hits / runs >= 0.93) & (hits / runs <= 0.97)), hits / runs


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


def test_compare_sees_what_intervals_hide() -> None:
    rng = np.random.default_rng(9)
    seen = {"paired": 0, "apart": 0}
    for seed in range(40):
        y, shared, extra = rng.normal(size=(3, 150))
        a, b = y + 0.8 * shared, y + 0.8 * shared + 0.6 * extra
        how = Resampling(resamples=300, seed=seed)
        seen["apart"] += bounds("pearson", y, a, how)[0] > bounds("pearson", y, b, how)[1]
        paired = compare("pearson", y, a, b, how=how)
        assert paired.delta.lo is not None and paired.p_value is not None
        seen["paired"] += paired.delta.lo > 0 and paired.p_value < 0.06
        turned = compare("pearson", y, b, a, how=how)
        assert turned.delta.value == pytest.approx(-(paired.delta.value or 0))
    assert seen["paired"] > 20 > seen["apart"] * 4, seen


def bounds(metric: str, y: np.ndarray, p: np.ndarray, how: Resampling) -> tuple[float, float]:
    found = interval(metric, y, p, how=how)
    assert found.lo is not None and found.hi is not None
    return found.lo, found.hi


def test_compare_of_equal_predictions_finds_nothing() -> None:
    found = compare("spearman", Y, P, P, how=Resampling(resamples=200))
    assert found.delta.value == 0 and (found.delta.lo, found.delta.hi) == (0, 0) and found.p_value == 1


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(13)
    low = 0
    for seed in range(200):
        y = rng.normal(size=60)
        a, b = (y + rng.normal(size=60) for _ in range(2))
        p = compare("pearson", y, a, b, how=Resampling(resamples=300, seed=seed)).p_value
        assert p is not None
        low += p < 0.05
    assert 2 <= low <= 22  # 10 expected


def test_wrong_input_is_one_line() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'auc'"):
        score("auc", Y, P)
    with pytest.raises(DataError, match="2 rows, at least 3"):
        interval("spearman", Y[:2], P[:2])
    with pytest.raises(DataError, match="equal numbers expected"):
        interval("spearman", Y, P[:5])
