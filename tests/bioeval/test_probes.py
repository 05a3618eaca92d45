"""Ridge against scikit-learn; selection on validation alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SkRidge
from sklearn.preprocessing import StandardScaler

from biodata.errors import ConfigError, DataError
from bioeval.backends import EmbedSettings, open_model
from bioeval.probes import PROBES
from bioeval.probes.choose import Search, choose
from bioeval.probes.low_rank import adapt
from bioeval.probes.ridge import GRID, Ridge
from bioeval.probes.torch_fit import Schedule
from bioeval.protocols import Inputs, Part
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


def test_padding_and_batches_change_nothing_for_token_probes() -> None:
    """A row predicted alone, in a batch with longer ones, or behind them is the same."""
    rng = np.random.default_rng(0)
    lengths = np.array([2, 9, 5, 30, 7, 12] * 4)
    x = rng.normal(size=(lengths.sum(), 5)).astype(np.float32)
    y = np.array([row.mean() for row in np.split(x[:, 0], np.cumsum(lengths)[:-1])])
    part = Part(x=x, lengths=lengths, y=y)
    for name in ("textcnn", "light-attention"):
        probe = replace(PROBES.load(name)(), rates=(1e-3,), schedule=Schedule(epochs=2))
        fitted = probe.fit(part, part, metric="pearson", seed=0)
        whole = fitted.predict(part)
        ends = np.cumsum(lengths)
        alone = [fitted.predict(Inputs(x=x[e - n : e], lengths=np.array([n]))) for e, n in zip(ends, lengths)]
        np.testing.assert_allclose(whole, np.concatenate(alone), atol=1e-5)


def test_adapters_start_at_the_model_and_follow_the_formula() -> None:
    """h = W0 x + (alpha / r) B A x (arXiv:2106.09685, equation 3), B = 0 at the start, W0 frozen."""
    body = torch.nn.ModuleDict({"query": torch.nn.Linear(6, 4), "output": torch.nn.Linear(4, 4)})
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    before = body["query"](x)
    assert adapt(body, rank=2, alpha=8.0) == ["query"]
    torch.testing.assert_close(body["query"](x), before)
    layer = body["query"]
    with torch.no_grad():
        layer.b.copy_(torch.randn(4, 2, generator=torch.Generator().manual_seed(1)))
    whole = layer.layer.weight + 8.0 / 2 * layer.b @ layer.a
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, whole, layer.layer.bias))
    assert {name for name, p in body.named_parameters() if p.requires_grad} == {"query.a", "query.b"}


def test_gpt2_is_adapted_in_its_attention_and_a_long_row_in_all_its_windows(gpt2: Path) -> None:
    embedder = open_model(str(gpt2))
    probe = replace(PROBES.load("lora")().of(embedder), rates=(1e-3,), schedule=Schedule(epochs=1, batch=8))
    rng = np.random.default_rng(0)
    rows = tuple("".join(rng.choice(["GCC", "AAA"], n)) for n in (5, 20, 45, 8) * 3)  # 32 tokens a window
    y = np.array([row.count("GCC") / len(row) for row in rows])
    part = Part(sequences=rows, y=y)
    fitted = probe.fit(part, part, metric="spearman", seed=0)
    assert fitted.settings["trained_layers"] == 2 and fitted.settings["rank"] == 8
    assert fitted.cost == 2 * (8 * 16 + 8 * 48) + 17  # c_attn 16 to 48 in two layers, and the head
    alone = fitted.predict(Inputs(sequences=rows[2:3]))
    np.testing.assert_allclose(alone, fitted.predict(part)[2:3], atol=1e-4)
    with pytest.raises(ConfigError, match="pooling = 'max' does nothing: probe lora takes 'mean'"):
        PROBES.load("lora")().of(open_model(str(gpt2), EmbedSettings(pooling="max")))


def test_the_grid_is_drawn_with_the_seed_where_it_is_too_large() -> None:
    grid = {"a": tuple(range(20)), "b": tuple(range(20))}
    drawn = [Search(probe="p", metric="r2", seed=s, grid=grid, most=10).settings() for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 10


def test_of_equal_scores_the_most_cautious_setting_is_taken() -> None:
    part = Part(x=np.zeros((4, 1)), y=np.arange(4.0))
    search = Search(probe="p", metric="rmse", seed=0, grid={"a": (3, 2, 1)})
    found = choose(search, lambda setting: lambda inputs: np.arange(4.0) + (setting["a"] == 3), part)
    assert found.settings["a"] == 2 and found.settings["at_edge"] == []
    undefined = choose(replace(search, metric="spearman"), lambda _: lambda inputs: np.ones(4), part)
    assert undefined.settings["a"] == 3 and np.isnan(undefined.validation)
