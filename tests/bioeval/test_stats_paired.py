"""Paired comparisons: calibrated, antisymmetric, honest about what cannot be told; corrections; power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from biodata.errors import ConfigError, DataError
from bioeval.stats import Resampling, benjamini_hochberg, compare, detectable_difference, holm, interval
from bioeval.stats.paired import permutation_test
from bioeval.stats.power import items_needed

RNG = np.random.default_rng(7)
Y = RNG.integers(0, 12, 60).astype(float)  # many ties
P = Y + RNG.integers(-5, 6, 60)


def test_compare_sees_what_intervals_hide() -> None:
    rng = np.random.default_rng(9)
    seen = {"paired": 0, "apart": 0}
    for seed in range(25):
        y, shared, extra = rng.normal(size=(3, 150))
        a, b = y + 0.8 * shared, y + 0.8 * shared + 0.6 * extra
        how = Resampling(resamples=300, seed=seed)
        seen["apart"] += bounds("pearson", y, a, how)[0] > bounds("pearson", y, b, how)[1]
        paired = compare("pearson", y, a, b, how=how)
        assert paired.delta.lo is not None and paired.p_value is not None
        seen["paired"] += paired.delta.lo > 0 and paired.p_value < 0.06
        turned = compare("pearson", y, b, a, how=how)
        assert turned.delta.value == pytest.approx(-(paired.delta.value or 0))
    assert seen["paired"] > 12 > seen["apart"] * 4, seen


def bounds(metric: str, y: np.ndarray, p: np.ndarray, how: Resampling) -> tuple[float, float]:
    found = interval(metric, y, p, how=how)
    assert found.lo is not None and found.hi is not None
    return found.lo, found.hi


def test_compare_of_equal_predictions_finds_nothing() -> None:
    found = compare("spearman", Y, P, P, how=Resampling(resamples=200))
    assert found.delta.value == 0 and (found.delta.lo, found.delta.hi) == (0, 0) and found.p_value == 1


@pytest.mark.parametrize(("metric", "runs"), [("spearman", 1000), ("rmse", 2000)])
def test_a_twentieth_of_equal_models_is_called_different(metric: str, runs: int) -> None:
    """199 permutations make p-values of exactly 1/200, 2/200, ...: 0.05 is one of them."""
    rng = np.random.default_rng(13)
    found = 0
    for seed in range(runs):
        y = rng.standard_normal(30)
        a, b = (y + rng.standard_normal(30) for _ in range(2))
        found += permutation_test(metric, y, a, b, how=Resampling(resamples=199, seed=seed)) <= 0.05
    assert 0.04 <= found / runs <= 0.06, found / runs


def test_whole_groups_are_swapped() -> None:
    """Rows of a group err alike: swapping rows would call a third of equal models different."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(25), 8)
    found = {"rows": 0, "groups": 0}
    for seed in range(300):
        y = rng.standard_normal(200)
        a, b = (y + rng.standard_normal(25)[groups] + 0.2 * rng.standard_normal(200) for _ in range(2))
        for labels in (None, groups):
            how = Resampling(resamples=199, seed=seed)
            p = permutation_test("rmse", y, a, b, groups=labels, how=how)
            found["rows" if labels is None else "groups"] += p <= 0.05
    assert found["rows"] > 60 and found["groups"] <= 25, found  # 15 expected


def test_the_permutation_test_equals_scipy_for_means() -> None:
    """Swapping two models' errors is flipping the sign of their difference."""
    rng = np.random.default_rng(5)
    y = np.zeros(40)
    a, b = rng.normal(0.6, 0.3, 40), rng.normal(0.5, 0.3, 40)
    ours = compare("mae", y, a, b, how=Resampling(resamples=20000)).p_value
    reference = scipy_stats.permutation_test(
        (np.abs(a), np.abs(b)), lambda u, v, axis: (u - v).mean(axis), permutation_type="samples",
        vectorized=True, n_resamples=20000, rng=rng,
    )  # fmt: skip
    assert ours == pytest.approx(reference.pvalue, abs=0.015)


def test_scale_of_predictions_does_not_matter_where_the_metric_ignores_it() -> None:
    rng = np.random.default_rng(6)
    y, e = rng.standard_normal((2, 80))
    how = Resampling(resamples=500)
    for metric in ("spearman", "pearson"):
        plain = compare(metric, y, y + e, y - e, how=how)
        scaled = compare(metric, y, 1000 * (y + e) + 7, y - e, how=how)
        assert scaled.p_value == pytest.approx(plain.p_value, abs=0.01)


def test_an_undefined_score_is_a_reason_and_no_p_value() -> None:
    found = compare("spearman", Y, P, np.full(60, 2.0), how=Resampling(resamples=200))
    assert (found.p_value, found.detectable, found.delta.lo) == (None, None, None)
    assert found.delta.reason == "all predictions are equal"
    assert all(v == v for v in found.as_dict().values())
    with pytest.raises(DataError, match="equal shapes expected"):
        compare("auroc", (Y > 5).astype(int), P, np.stack([P, P], 1))


def test_clusterings_are_compared_without_swapping() -> None:
    y = np.arange(60) % 3
    found = compare("v-measure", y, y, RNG.integers(0, 3, 60), how=Resampling(resamples=200))
    assert found.test == "paired bootstrap" and found.p_value == found.p_bootstrap


def test_power_at_the_detectable_difference_is_80_percent() -> None:
    rng = np.random.default_rng(8)
    n, runs = 60, 400
    spread = np.sqrt(2 * (1 - 2 / np.pi) / n)  # of a difference of means of |N(0, 1)|
    shift = detectable_difference(spread)
    assert shift == pytest.approx((1.959964 + 0.841621) * spread)
    seen, said = 0, []
    for seed in range(runs):
        a, b = np.abs(rng.standard_normal((2, n)))
        found = compare("mae", np.zeros(n), a + shift, b, how=Resampling(resamples=199, seed=seed))
        assert found.p_value is not None and found.detectable is not None
        seen += found.p_value <= 0.05
        said.append(found.detectable)
    assert 0.75 <= seen / runs <= 0.85, seen / runs
    assert np.mean(said) == pytest.approx(shift, rel=0.05)


def test_power_in_words() -> None:
    found = compare("spearman", Y, P, Y, how=Resampling(resamples=300))
    assert found.detectable is not None
    assert found.power_sentence == (
        f"this test set (60 rows) cannot tell apart differences under {found.detectable:.2g}"
    )
    assert compare("spearman", Y, P, P, how=Resampling(resamples=200)).power_sentence == ""
    assert items_needed(100, -0.01, 0.02) == 400 and items_needed(100, 0.0, 0.02) is None
    with pytest.raises(ConfigError, match="power = 1"):
        detectable_difference(0.1, power=1)


def test_corrections_equal_the_textbook_and_scipy() -> None:
    p = RNG.random(40) ** 2
    assert benjamini_hochberg(p) == pytest.approx(scipy_stats.false_discovery_control(p))
    order = np.argsort(p)
    step_down = [max((40 - j) * p[order[j]] for j in range(i + 1)) for i in range(40)]
    assert np.array(holm(p))[order] == pytest.approx(np.minimum(1, step_down))
    assert holm([]) == [] and holm([None]) == [None] and holm([0.7, 0.8]) == [1.0, 1.0]
    with pytest.raises(ConfigError, match=r"p-value 1\.5, allowed: 0 to 1"):
        holm([1.5])


def test_holm_keeps_the_family_wise_rate() -> None:
    rng = np.random.default_rng(2)
    p = rng.random((4000, 8))
    any_found = np.mean([min(v for v in holm(row) if v is not None) <= 0.05 for row in p])
    assert any_found == pytest.approx(1 - (1 - 0.05 / 8) ** 8, abs=0.01)
