"""Intervals by the score method: against textbook formulas and sources of their own, and how they cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import brentq
from sklearn import metrics as sk

from bioeval.scores import score
from bioeval.stats import Interval, Resampling, interval
from bioeval.stats.shares import Worth, score_bounds

N = 30
RNG = np.random.default_rng(4)
HOW = Resampling(resamples=300, seed=3)
Z = scipy_stats.norm.ppf(0.975)


def wilson(share: float, rows: float, z: float = float(Z)) -> tuple[float, float]:
    """The closed form of Wilson 1927."""
    middle, half = share + z**2 / (2 * rows), z * np.sqrt(share * (1 - share) / rows + (z / rows) ** 2 / 4)
    return (middle - half) / (1 + z**2 / rows), (middle + half) / (1 + z**2 / rows)


def jackknife(reference, n: int = N) -> tuple[float, float, float]:
    """Value, bias and error of a score of row numbers, by a loop."""
    every = np.arange(n)
    value, left_out = reference(every), np.array([reference(np.delete(every, i)) for i in every])
    return (
        value, (n - 1) * (left_out.mean() - value),
        np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()),
    )  # fmt: skip


def bounds(found: Interval) -> tuple[float, float]:
    assert found.lo is not None and found.hi is not None
    return found.lo, found.hi


@pytest.mark.parametrize("right", [0, 1, 17, 39, 40])
def test_accuracy_of_rows_has_wilsons_bounds(right: int) -> None:
    """The jackknife knows the spread of a share as that of n - 1 rows; of equal rows it knows none."""
    y = np.zeros(40, int)
    p = np.eye(2)[(np.arange(40) >= right).astype(int)]
    reference = scipy_stats.binomtest(right, 40).proportion_ci(method="wilson")
    found = interval("accuracy", y, p, how=HOW)
    assert found.method == "score" and not found.reason and not found.caution
    if right in (0, 40):
        assert bounds(found) == pytest.approx((reference.low, reference.high), abs=1e-9)
    else:
        assert bounds(found) == pytest.approx(wilson(right / 40, 39), rel=1e-9)
        assert bounds(found) == pytest.approx((reference.low, reference.high), abs=0.005)


@pytest.mark.parametrize("labels", [1, 3])
def test_bounds_of_average_precision_equal_the_textbook(labels: int) -> None:
    """Jackknife of scikit-learn's score; never worth more than the positives."""
    y = RNG.integers(0, 2, (N, labels))
    p = 1 / (1 + np.exp(-y - RNG.normal(size=(N, labels))))
    value, bias, error = jackknife(
        lambda rows: float(np.mean([sk.average_precision_score(t, q) for t, q in zip(y[rows].T, p[rows].T)]))
    )
    most = labels**2 / (1 / y.sum(0)).sum()
    expected = wilson(value - bias, min(value * (1 - value) / error**2, most))
    found = interval("auprc", y if labels > 1 else y[:, 0], p if labels > 1 else p[:, 0], how=HOW)
    assert found.method == "score" and found.value == pytest.approx(value)
    assert bounds(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("apart", [0.5, 2.5])
def test_bounds_of_auroc_equal_the_textbook(apart: float) -> None:
    """Of a weak model the jackknife decides, of a strong one what few rows of a class allow."""
    y = (np.arange(N) < 12).astype(int)
    p = apart * y + np.random.default_rng(1).normal(size=N)
    value, _, error = jackknife(lambda rows: float(sk.roc_auc_score(y[rows], p[rows])))
    worth, most = value * (1 - value) / error**2, 4 / (1 / 12 + 1 / 18)
    assert (worth < most) == (apart < 1)
    assert bounds(interval("auroc", y, p, how=HOW)) == pytest.approx(wilson(value, min(worth, most)))


def test_recall_of_the_top_tenth_knows_that_both_margins_are_fixed() -> None:
    y = np.arange(100.0)
    p = np.where(y >= 94, y + 100, y)  # six of the ten best
    p[:4] = 150

    def far(t: float) -> float:
        return float((0.6 - t) ** 2 - Z**2 * t * (1 - t) / (10 * (1 + t)))

    found = interval("top10-recall", y, p, how=HOW)
    assert found.value == pytest.approx(0.6)
    assert bounds(found) == pytest.approx((brentq(far, 0, 0.6), brentq(far, 0.6, 1)), rel=1e-6)
    # a count of a table whose margins are fixed: the noncentral hypergeometric distribution
    table = scipy_stats.nchypergeom_fisher(1000, 100, 100, 10)
    t = table.mean() / 100
    assert table.var() / 100**2 == pytest.approx(t * (1 - t) / (100 * (1 + t)), rel=0.06)


def test_ndcg_is_worth_what_its_resamples_say() -> None:
    from bioeval.scores import weighted
    from bioeval.stats.resampling import bootstrap_draws, units_of

    y = RNG.normal(size=60)
    p = y + RNG.normal(size=60)
    draws = bootstrap_draws(lambda w: weighted("ndcg10")(y, p, w), units_of(60, None), HOW)
    rows = draws.mean() * (1 - draws.mean()) / draws.var()
    expected = wilson(score("ndcg10", y, p), rows, float(scipy_stats.t.ppf(0.975, rows - 1)))
    assert bounds(interval("ndcg10", y, p, how=HOW)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1", "auroc", "auprc", "recall-at-1", "top10-recall"])
def test_a_perfect_score_has_a_lower_bound(metric: str) -> None:
    y = np.arange(N) % 2
    p = np.ones((N, 2)) if metric == "recall-at-1" else np.eye(2)[y]
    if metric == "top10-recall":
        y, p = np.arange(N) * 1.0, np.arange(N) * 1.0
    found = interval(metric, y, p, how=HOW)
    assert found.value == found.hi == 1 and 0.5 < bounds(found)[0] < 0.95
    assert found.reason == "" and found.method == "score"


def test_auroc_and_recall_of_equal_predictions_are_no_matter_of_chance() -> None:
    y = np.arange(N) % 2
    for metric, value in (("auroc", 0.5), ("top10-recall", 0.0)):
        found = interval(metric, y if metric == "auroc" else np.arange(N) * 1.0, np.ones(N), how=HOW)
        assert bounds(found) == (value, value)


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1", "auroc", "auprc"])
def test_groups_of_one_row_are_rows_and_equal_rows_count_as_one(metric: str) -> None:
    y, of_two = np.arange(N) % 2, np.tile(np.arange(N), 2)
    perfect, noisy = np.eye(2)[y], np.eye(2)[y] + 2 * np.random.default_rng(3).random((N, 2))
    for p in (perfect, noisy):
        rows = bounds(interval(metric, y, p, how=HOW))
        alone = bounds(interval(metric, y, p, groups=np.arange(N), how=HOW))  # Student's t is 4 % longer
        assert alone == pytest.approx(rows, abs=1e-9 if p is perfect else 0.015)
        assert alone[0] <= rows[0] and rows[1] <= alone[1]
    twice = [interval(metric, np.tile(y, 2), np.tile(p, (2, 1)), groups=of_two, how=HOW)
             for p in (perfect, noisy)]  # fmt: skip
    assert bounds(twice[0]) == pytest.approx(bounds(interval(metric, y, perfect, how=HOW)))
    assert bounds(twice[1]) == pytest.approx(bounds(interval(metric, y, noisy, how=HOW)), abs=0.04)


def test_bounds_lie_around_the_share_and_narrow_with_rows() -> None:
    for margins in (False, True):
        for v in (0.0, 0.01, 0.5, 1.0):
            few, many = (score_bounds(Worth(centre=v, rows=m, margins=margins), level=0.95) for m in (3, 1e6))
            assert few[0] <= many[0] <= v + 1e-9 and v - 1e-9 <= many[1] <= few[1]
            assert few[1] - few[0] > 0.4 and many[1] - many[0] < 0.01


def rare(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 50, 30 and 20 %."""
    y = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    p = np.exp(strength * np.eye(3)[y] + 0.8 * rng.standard_normal((n, 3)))
    return y, p / p.sum(1, keepdims=True)


def numbers(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal errors."""
    y, error = rng.standard_normal((2, n))
    return y, strength * y + error


@pytest.mark.parametrize(
    ("metric", "population", "n", "strengths"),
    [
        ("auroc", rare, 25, np.linspace(0.6, 2.0, 10)),
        ("auprc", rare, 25, np.linspace(0.6, 2.0, 10)),
        ("macro-f1", rare, 25, np.linspace(0.6, 2.0, 10)),
        ("ndcg10", numbers, 25, np.geomspace(0.1, 3, 10)),
        ("top10-recall", numbers, 25, np.geomspace(0.1, 3, 10)),
        ("top10-recall", numbers, 100, np.geomspace(0.1, 3, 10)),
    ],
)
def test_coverage_of_few_rows(metric: str, population, n: int, strengths: np.ndarray) -> None:
    """From weak to strong models. Bounds by BCa, or the jackknife, covered 92, 89, 95, 93, 93, 93 %."""
    rng, runs, hits = np.random.default_rng(1), 100, 0
    for strength in strengths:
        if population is rare:
            truth = score(metric, *rare(rng, 50_000, float(strength)))
        else:
            truth = np.mean([score(metric, *numbers(rng, n, float(strength))) for _ in range(2000)])
        for seed in range(runs):
            y, p = population(rng, n, float(strength))
            lo, hi = bounds(interval(metric, y, p, how=Resampling(resamples=200, seed=seed)))
            hits += lo <= truth <= hi
    assert 0.93 <= hits / (runs * len(strengths)) <= 0.97, hits / (runs * len(strengths))


def test_coverage_of_average_precision_of_labels() -> None:
    """Of four labels, from weak to strong models. BCa bounds cover 92 % of 40 rows."""
    rng, n, runs, hits = np.random.default_rng(0), 40, 80, 0
    strengths = (0.65, 0.95, 1.25, 1.55, 1.85)
    for apart in strengths:
        many = (rng.random((50_000, 4)) < [0.5, 0.4, 0.3, 0.3]).astype(float)
        truth = score("auprc", many, apart * many + rng.standard_normal(many.shape))
        for _ in range(runs):
            y = (rng.random((n, 4)) < [0.5, 0.4, 0.3, 0.3]).astype(float)
            found = interval("auprc", y, apart * y + rng.standard_normal((n, 4)),
                             how=Resampling(resamples=100))  # fmt: skip
            assert found.lo is not None and found.hi is not None and found.value is not None
            hits += found.lo <= truth <= found.hi
            assert 0 < found.lo <= found.value <= found.hi < 1
    assert 0.93 <= hits / (runs * len(strengths)) <= 0.975, hits / (runs * len(strengths))
