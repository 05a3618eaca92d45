"""Ridge against scikit-learn; selection on validation alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SkRidge
from sklearn.preprocessing import StandardScaler

from biodata.errors import DataError
from bioeval.probes.ridge import GRID, Ridge
from bioeval.protocols import Part
from bioeval.scores import score


def parts(n: int, d: int, *, seed: int = 0) -> tuple[Part, Part, Part]:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=d)
    made = []
    for _ in range(3):
        x = rng.normal(2, rng.uniform(0.5, 3, d), size=(n, d)).astype(np.float32)
        x[:, 0] = 5  # a constant column
        made.append(Part(x=x, y=x @ weights + rng.normal(0, 5, n)))
    return made[0], made[1], made[2]


@pytest.mark.parametrize(("n", "d"), [(80, 10), (30, 90)])
@pytest.mark.parametrize("alpha", [0.01, 1.0, 1000.0])
def test_ridge_equals_sklearn(n: int, d: int, alpha: float) -> None:
    train, validation, test = parts(n, d)
    fitted = Ridge(alphas=(alpha,)).fit(train, validation, metric="spearman")
    scaler = StandardScaler().fit(train.x.astype(np.float64))
    reference = SkRidge(alpha=alpha, solver="svd").fit(scaler.transform(train.x.astype(np.float64)), train.y)
    expected = reference.predict(scaler.transform(test.x.astype(np.float64)))
    assert fitted.predict(test) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("metric", ["spearman", "rmse"])
def test_the_penalty_is_the_best_on_validation(metric: str) -> None:
    train, validation, _ = parts(40, 60, seed=3)
    fitted = Ridge().fit(train, validation, metric=metric)
    scores = {}
    for alpha in GRID:
        one = Ridge(alphas=(alpha,)).fit(train, validation, metric=metric)
        scores[alpha] = score(metric, validation.y, one.predict(validation))
    best = (min if metric == "rmse" else max)(scores.values())
    assert fitted.validation == pytest.approx(best)
    assert scores[fitted.settings["alpha"]] == pytest.approx(best)
    assert fitted.settings["chosen_on"] == "validation" and fitted.settings["fitted_on"] == "train"


def test_constant_columns_have_no_weight() -> None:
    train, validation, _ = parts(40, 6)
    fitted = Ridge().fit(train, validation, metric="pearson")
    moved = replace(validation, x=validation.x + np.eye(6, dtype=np.float32)[0] * 100)
    np.testing.assert_array_equal(fitted.predict(moved), fitted.predict(validation))
    assert fitted.settings["features_varying"] == 5


def test_twice_the_same() -> None:
    train, validation, test = parts(40, 60)
    a, b = (Ridge().fit(train, validation, metric="spearman").predict(test) for _ in range(2))
    assert np.array_equal(a, b)


def test_what_cannot_be_fitted_is_one_line() -> None:
    train, validation, _ = parts(20, 4)
    with pytest.raises(DataError, match="2 train rows, at least 3"):
        Ridge().fit(Part(x=train.x[:2], y=train.y[:2]), validation, metric="spearman")
    with pytest.raises(DataError, match="all 20 validation targets are 1: nothing to predict"):
        Ridge().fit(train, Part(x=validation.x, y=np.ones(20)), metric="spearman")
    with pytest.raises(DataError, match="all 4 features are constant"):
        Ridge().fit(Part(x=np.ones((20, 4), np.float32), y=train.y), validation, metric="spearman")


def targets(x: np.ndarray, kind: str) -> np.ndarray:
    """What each kind of target looks like, planted in the first columns."""
    if kind == "number":
        return x[:, 1] + 0.1 * x[:, 2]
    if kind == "class":
        return np.digitize(x[:, 1], np.quantile(x[:, 1], (1 / 3, 2 / 3)))
    labels = (x[:, 1:4] > x[:, 1:4].mean(0)).astype(float)
    labels[::7, 0] = np.nan
    return labels
