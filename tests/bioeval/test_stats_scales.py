"""Intervals on scales of their own, against loops over rows that are really repeated, and how they cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from bioeval.scores import score
from bioeval.stats import Resampling, interval
from bioeval.stats.bootstrap import degrees_of_freedom, tail_level
from bioeval.stats.resampling import bootstrap_draws, left_out_values, units_of

N = 30
RNG = np.random.default_rng(4)
Y = RNG.exponential(size=N)
P = 0.7 * Y + RNG.standard_t(5, N) / 3
HOW = Resampling(resamples=300, seed=3)


def log_ratio_and_error(metric: str, y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """L and its delta-method error, of plain rows."""
    squared = (y - p) ** 2
    beside = np.ones(len(y)) if metric == "rmse" else (y - y.mean()) ** 2
    pulls = squared / squared.sum() - beside / beside.sum()
    return float(np.log(squared.sum() / beside.sum())), float(np.sqrt((pulls**2).sum()))


@pytest.mark.parametrize(("metric", "back"), [("rmse", np.sqrt), ("r2", lambda ratio: 1 - ratio)])
def test_studentised_bounds_equal_a_loop_over_repeated_rows(metric: str, back) -> None:
    drawn = bootstrap_draws(lambda weights: weights, units_of(N, None), HOW).astype(int)
    value, error = log_ratio_and_error(metric, Y, P)
    pulls = []
    for counts in drawn:
        rows = np.repeat(np.arange(N), counts)
        again, spread = log_ratio_and_error(metric, Y[rows], P[rows])
        pulls.append((again - value) / spread)
    freedom = degrees_of_freedom(
        np.array([score(metric, np.delete(Y, i), np.delete(P, i)) for i in range(N)]), N
    )
    low, high = tail_level(0.95, N, freedom=freedom)
    expected = sorted(back(np.exp(value - error * np.quantile(pulls, level))) for level in (low, high))
    found = interval(metric, Y, P, how=HOW)
    assert found.method == "studentised"
    assert (found.lo, found.hi) == pytest.approx(tuple(expected), rel=1e-9)
    shifted = interval(metric, Y + 1e6, P + 1e6, how=HOW)  # no digits are lost far from 0
    assert (shifted.lo, shifted.hi) == pytest.approx((found.lo, found.hi), rel=1e-6)


@pytest.mark.parametrize("metric", ["rmse", "r2", "v-measure"])
def test_groups_of_one_row_are_rows_and_groups_count_as_one(metric: str) -> None:
    y, p = (Y.round(), P.round()) if metric == "v-measure" else (Y, P)
    alone, rows = interval(metric, y, p, groups=np.arange(N), how=HOW), interval(metric, y, p, how=HOW)
    assert (alone.lo, alone.hi, alone.method) == (rows.lo, rows.hi, rows.method)
    twice = interval(metric, np.tile(y, 2), np.tile(p, 2), groups=np.tile(np.arange(N), 2), how=HOW)
    assert (twice.lo, twice.hi) == pytest.approx((rows.lo, rows.hi), rel=1e-9)


@pytest.mark.parametrize(
    ("metric", "reference", "least"),
    [("v-measure", sk.v_measure_score, 0), ("adjusted-rand", sk.adjusted_rand_score, -1)],
)
def test_jackknifed_bounds_equal_the_textbook(metric: str, reference, least: float) -> None:
    y = RNG.integers(0, 3, N)
    p = np.where(RNG.random(N) < 0.6, y, RNG.integers(0, 3, N))
    left_out = np.array([reference(np.delete(y, i), np.delete(p, i)) for i in range(N)])

    def scaled(value):
        return np.arcsin(np.sqrt((value - least) / (1 - least)))

    pulls = scaled(left_out) - scaled(left_out).mean()
    reach = scipy_stats.t.ppf(0.975, N - 1) * np.sqrt((N - 1) / N * (pulls**2).sum())
    middle = scaled(reference(y, p))
    expected = [least + (1 - least) * np.sin(middle + side * reach) ** 2 for side in (-1, 1)]
    found = interval(metric, y, p.astype(float), how=HOW)
    assert found.method == "jackknife"
    assert (found.lo, found.hi) == pytest.approx(tuple(expected), rel=1e-9)


def test_few_rows_and_perfect_scores_keep_the_usual_bounds() -> None:
    few = interval("rmse", Y[:20], P[:20], how=HOW)
    assert few.method == "bca"
    classes = np.arange(N) % 3
    for metric, y, p in (("rmse", Y, Y), ("r2", Y, Y), ("v-measure", classes, classes * 1.0),
                         ("adjusted-rand", classes, classes * 1.0)):  # fmt: skip
        found = interval(metric, y, p, how=HOW)
        assert found.lo == found.value == found.hi and found.method in ("bca", "percentile")
        assert found.caution == (
            "" if metric == "rmse" else "interval likely too narrow: no resample differs"
        )


@pytest.mark.parametrize("n", [25, 100])
def test_coverage_with_outliers(n: int) -> None:
    """Errors of Student's t with 5 degrees of freedom, whose squares have no kurtosis. BCa bounds cover 88 to
    92 % of the RMSE."""
    rng = np.random.default_rng(n)
    truth, runs, hits = np.sqrt(5 / 3), 500, 0
    for seed in range(runs):
        y, e = rng.standard_normal(n), rng.standard_t(5, n)
        found = interval("rmse", y, y + e, how=Resampling(resamples=400, seed=seed))
        assert found.lo is not None and found.hi is not None
        hits += found.lo <= truth <= found.hi
    assert 0.92 <= hits / runs <= 0.97, hits / runs


@pytest.mark.parametrize(("metric", "n"), [("v-measure", 25), ("v-measure", 60)])
def test_coverage_of_clusterings(metric: str, n: int) -> None:
    """Of the mean score of sets of this size, from weak to strong models. BCa covers 84 % of 25 rows."""
    rng, runs, hits = np.random.default_rng(n), 80, 0
    strengths = (0.45, 0.55, 0.65, 0.75, 0.85)
    for strength in strengths:
        sets = [clusters(rng, n, strength) for _ in range(400)]
        truth = np.mean([score(metric, y, p) for y, p in sets])
        for y, p in sets[:runs]:
            found = interval(metric, y, p, how=Resampling(resamples=100))
            assert found.lo is not None and found.hi is not None
            hits += found.lo <= truth <= found.hi
    assert 0.93 <= hits / (runs * len(strengths)) <= 0.975, hits / (runs * len(strengths))


def clusters(rng: np.random.Generator, n: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes, of which a share falls into the right cluster."""
    y = rng.integers(0, 3, n)
    return y, np.where(rng.random(n) < right, y, rng.integers(0, 3, n)).astype(float)


def test_jackknife_of_many_rows_leaves_blocks_out() -> None:
    rng = np.random.default_rng(9)
    y, p = clusters(rng, 4000, 0.6)
    found = interval("v-measure", y, p, how=Resampling(resamples=100))
    draws = bootstrap_draws(lambda w: np.array([score("v-measure", np.repeat(y, r), np.repeat(p, r))
                                                for r in w.astype(int)]), units_of(4000, None),
                            Resampling(resamples=200))  # fmt: skip
    assert found.lo is not None and found.hi is not None
    assert found.hi - found.lo == pytest.approx(2 * 1.96 * draws.std(), rel=0.2)
    assert len(left_out_values(lambda w: w.sum(1), units_of(4000, None))) == 500


def test_intervals_that_are_likely_too_narrow_say_so() -> None:
    rng = np.random.default_rng(0)
    y, rare = rng.normal(size=40), np.repeat([0, 1], [36, 4])
    p = np.stack([1 - (q := rng.random(40)), q], axis=1)
    for metric in ("top10-recall", "ndcg10"):
        few = interval(metric, y[:19], y[:19] + p[:19, 0], how=HOW)
        assert "top tenth is 1 rows, 2 are wanted" in few.caution
    assert interval("ndcg10", y, p[:, 0], how=HOW).caution == ""
    assert "4 rows of the rarest class" in interval("auprc", rare, p, how=HOW).as_dict()["caution"]
    assert "4 groups of the rarest class" in interval("auroc", rare, p, groups=np.arange(40), how=HOW).caution
    assert "14 rows, 15 are wanted" in interval("spearman", y[:14], p[:14, 0], how=HOW).caution
    assert "squared errors of 24 rows" in interval("rmse", y[:24], p[:24, 0], how=HOW).caution
    labels = np.stack([rare, np.arange(40) % 2], axis=1).astype(float)
    assert "4 rows of the rarest class" in interval("auprc", labels, p, how=HOW).caution
    assert interval("auprc", np.stack([np.arange(40) % 2.0] * 2, 1), p, how=HOW).caution == ""
    for metric in ("spearman", "rmse", "r2"):
        assert "caution" not in interval(metric, y, p[:, 0], how=HOW).as_dict()
    assert "caution" not in interval("auroc", np.arange(40) % 2, p, how=HOW).as_dict()
