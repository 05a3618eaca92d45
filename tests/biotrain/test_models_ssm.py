"""State-space models: published sizes, what starts how, what must not decay, numbers of transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from biodata.errors import ConfigError
from biotrain.layers.transformer import Transformer
from biotrain.models import ModelConfig, build_model, count_parameters, flops_per_token
from biotrain.models.ssm_config import SsmConfig
from biotrain.optim import OptimConfig
from biotrain.optim.groups import parameter_groups

HELM = {"position": "learned", "context": 444, "tie_embeddings": False}


def model_of(name: str, **changes: Any) -> Transformer:
    config = ModelConfig(name=name, **{"layers": 2, "width": 32, "context": 64, **changes})
    model = build_model(config, vocab_size=30, seed=3).eval()
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.1)
    return model


def ids_of(rows: int, length: int) -> torch.Tensor:
    return torch.randint(6, 30, (rows, length), generator=torch.Generator().manual_seed(1))


PUBLISHED = {
    "mamba-130m": ({"name": "mamba", "layers": 24, "width": 768}, 50_280, 129_135_360),
    "helm-mamba-50m": ({"name": "mamba", "layers": 40, "width": 256, "ffn": 1024, **HELM}, 70, 49_137_920),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_published_sizes(case: str) -> None:
    settings, vocab_size, published = PUBLISHED[case]
    config = ModelConfig(**settings)
    assert count_parameters(config, vocab_size=vocab_size)["total"] == published
    with torch.device("meta"):
        model = config.architecture.build(config, vocab_size)
    assert sum(p.numel() for p in model.parameters()) == published


def test_starts_as_the_paper_says() -> None:
    core = build_model(ModelConfig(name="mamba", layers=1, width=256), vocab_size=30).blocks[0].mixer.core
    torch.testing.assert_close(core.A_log.exp(), torch.arange(1.0, 17).expand(512, -1))
    assert (core.D == 1).all() and not core.conv_bias.any()
    steps = torch.nn.functional.softplus(core.dt_proj.bias)
    assert steps.min() >= 1e-3 and steps.max() <= 0.1 and 0.005 < steps.median() < 0.02
    assert core.dt_proj.weight.abs().max() <= 0.25 and core.dt_proj.weight.std() > 0.13


def test_matrices_of_states_neither_decay_nor_turn() -> None:
    model = build_model(ModelConfig(name="mamba", layers=1, width=16), vocab_size=30)
    groups = parameter_groups(model, OptimConfig(weight_decay=0.1))
    mixer = model.blocks[0].mixer
    for group in groups:
        held = {id(p) for p in group["params"]}
        if id(mixer.core.A_log) in held:
            assert group["weight_decay"] == 0 and not group["hidden"]
        if id(mixer.in_proj.weight) in held:
            assert group["weight_decay"] == 0.1 and group["hidden"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["mamba"])
def test_padding_on_either_side_never_enters(name: str, side: str) -> None:
    model, ids = model_of(name), ids_of(2, 23)
    mask = torch.ones(2, 23, dtype=torch.bool)
    mask[1, : 9 if side == "left" else 23] = False
    if side == "right":
        mask[1, :14] = True
    real = mask[1].nonzero().flatten()
    alone = model(ids[1:, real])
    torch.testing.assert_close(model(ids, mask=mask)[1:, real], alone, atol=2e-6, rtol=1e-5)
    rubbish = model(ids.masked_fill(~mask, 7), mask=mask)
    torch.testing.assert_close(rubbish[1:, real], alone, atol=2e-6, rtol=1e-5)


def test_scans_cost_the_same_for_every_token() -> None:
    config = ModelConfig(name="mamba", layers=2, width=64)
    short, long = (flops_per_token(config, vocab_size=30, length=n) for n in (64, 4096))
    assert short == long


def test_bf16_weights_and_autocast_scan_in_float32() -> None:
    model, ids = model_of("mamba", width=64).train(), ids_of(2, 40)
    exact = model(ids)
    with torch.autocast("cpu", torch.bfloat16):
        near = model(ids)
        near.float().square().mean().backward()
    assert (near.float() - exact).abs().max() < 0.1 * exact.abs().max()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    wholly = model.to(torch.bfloat16)(ids)
    assert (wholly.float() - exact).abs().max() < 0.2 * exact.abs().max()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "mamba", "bidirectional": True}, "'mamba' has no bidirectional True"),
        ({"name": "mamba", "position": "rope"}, r"no position 'rope' \(allowed: none, learned\)"),
        ({"name": "mamba", "heads": 4}, "model 'mamba' has no option heads"),
        ({"name": "gpt2", "ssm": SsmConfig()}, "model 'gpt2' has no option ssm"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ModelConfig(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"state_size": -1}, {"conv_taps": 0}, {"expand": 0}])
def test_bad_options_are_one_line(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"model {next(iter(settings))} must be"):
        SsmConfig(**settings)
