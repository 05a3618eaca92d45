"""muP: rates, decays and initial sizes of the published table and of `mup.MuAdamW`; an exported model
computes the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mup
import pytest
import torch

from biodata.configs import from_dict
from biodata.errors import ConfigError
from biotrain.config import OptimConfig, TrainConfig
from biotrain.export import export_model, load_model
from biotrain.models import ModelConfig, build_model
from biotrain.mup import as_usual
from biotrain.optim import build_optimizer
from biotrain.optim.groups import set_learning_rate

VOCAB, LR, DECAY = 20, 0.01, 0.1
MODELS = ("bert", "gpt2", "llama", "moe")


def config_of(name: str = "gpt2", width: int = 64, base: int = 16, **settings: Any) -> ModelConfig:
    return ModelConfig(name=name, layers=2, width=width, heads=4, context=32, mup_base_width=base, **settings)


def rates(model: torch.nn.Module) -> dict[str, tuple[float, float]]:
    """Learning rate and decay of each parameter."""
    optimizer = build_optimizer(model, OptimConfig(lr=LR, weight_decay=DECAY))
    set_learning_rate(optimizer, LR)
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tied", [True, False])
def test_rates_are_those_of_the_table(name: str, tied: bool) -> None:
    """A list by hand: matrices of the blocks, and BERT's transform, at lr / 4 and 4 times the decay."""
    for parameter, found in rates(
        build_model(config_of(name, tie_embeddings=tied), vocab_size=VOCAB)
    ).items():
        kind = parameter.removesuffix(".weight").rsplit(".", 1)[-1]
        hidden = kind in ("qkv", "out", "up", "down", "gate_up", "router", "transform")
        is_matrix = hidden or kind in ("tokens", "positions", "head")
        matrix = is_matrix and not parameter.endswith("bias")
        factor = 4 if hidden and matrix else 1
        assert found == pytest.approx((LR / factor, DECAY * factor * matrix)), parameter


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_rates_equal_the_package(name: str) -> None:
    """`make` installs it without what it declares, which would bring a second torch."""
    config = config_of(name, width=96, ffn=160, tie_embeddings=False)
    model = build_model(config, vocab_size=VOCAB)
    base, delta = (
        config.architecture.build(replace(config, width=w, ffn=f, mup_base_width=0), VOCAB)
        for w, f in ((16, config.mup_base().ffn), (32, 2 * config.mup_base().ffn))
    )
    mup.set_base_shapes(model, base, delta=delta, do_assert=False, rescale_params=False)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    theirs = mup.MuAdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=LR
    )
    names = {id(p): name for name, p in model.named_parameters()}
    expected = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in theirs.param_groups for p in g["params"]}
    found = rates(model)
    assert found.keys() == expected.keys()
    for parameter, values in expected.items():
        assert found[parameter] == pytest.approx(values), parameter


@pytest.mark.parametrize("name", MODELS)
def test_initial_sizes(name: str) -> None:
    usual = config_of(name, width=256, base=0, tie_embeddings=False)
    wide = build_model(replace(usual, mup_base_width=64), vocab_size=VOCAB)
    plain = dict(build_model(usual, vocab_size=VOCAB).named_parameters())
    for parameter, p in wide.named_parameters():
        if p.ndim < 2:
            continue
        ratio = (p.detach().std() / plain[parameter].detach().std()).item()
        outside = parameter.startswith(("tokens", "positions", "head"))
        expected = 1 if outside else 1 / 4 if "router" in parameter else 1 / 2
        assert ratio == pytest.approx(expected, rel=1e-4), parameter


def test_at_the_base_width_it_is_the_usual_model() -> None:
    usual = ModelConfig(layers=1, width=64, context=8)
    ids = torch.arange(6, 14)[None]
    one, other = (build_model(c, vocab_size=VOCAB) for c in (usual, replace(usual, mup_base_width=64)))
    assert torch.equal(one(ids), other(ids)) and rates(one) == rates(other)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("position", ["alibi", "rope"])
def test_scores_and_output_are_scaled(name: str, position: Any) -> None:
    """The same weights in the usual model, with queries and the last norm scaled by hand."""
    config = config_of(name, position=position)
    model = build_model(config, vocab_size=VOCAB).eval()
    plain = build_model(replace(config, mup_base_width=0), vocab_size=VOCAB).eval()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    for key in weights:
        if ".qkv." in key:
            weights[key][:64] *= (8 / 16) * math.sqrt(16)  # 8 / d for 1 / sqrt(d), d = 16
        if key.startswith("transform_norm" if name == "bert" else "norm."):
            weights[key] /= 4
    plain.load_state_dict(weights)
    ids = torch.randint(6, VOCAB, (2, 12), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(ids), model(ids))
    folded, without = as_usual(model.state_dict(), config)
    assert without == plain.config and all(torch.allclose(folded[key], weights[key]) for key in weights)


def test_the_exported_model_is_a_usual_one(tiny_tokenizer: Path, tmp_path: Path) -> None:
    model = build_model(config_of(tie_embeddings=False), vocab_size=70).eval()
    again = load_model(export_model(model, tiny_tokenizer, tmp_path / "model"))
    ids = torch.arange(6, 18)[None]
    assert again.config.mup_base_width == 0
    torch.testing.assert_close(again(ids), model(ids))


def test_refusals(tiny_config: Callable[..., TrainConfig]) -> None:
    for settings, message in (
        ({"name": "mamba", "mup_base_width": 16}, "'mamba' has no option mup_base_width"),
        (
            {"width": 64, "heads": 8, "mup_base_width": 12},
            "mup_base_width 12 gives no model: width 12 is not",
        ),
        ({"mup_base_width": -1}, "mup_base_width must be 0 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_dict(ModelConfig, settings, where="x.yaml")
    with pytest.raises(ConfigError, match="mup_base_width is for optimizers adamw and lion, got 'sgd'"):
        tiny_config(model=config_of(), optim=OptimConfig(name="sgd"))
