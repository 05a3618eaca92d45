"""Dropout of attention alone, and the activation between the two matrices of a feed-forward layer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from biodata.errors import ConfigError
from biotrain import loop
from biotrain.config import TrainConfig
from biotrain.export import export_model, load_model
from biotrain.layers.transformer import Transformer
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model
from biotrain.step import train_step

VOCAB = 30
FUNCTIONS = {
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "relu": lambda x: x.clamp(min=0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


def model_of(name: str, **settings: Any) -> Transformer:
    """A model whose every parameter has an unlikely value."""
    shape = {"layers": 2, "width": 32, "heads": 4, "context": 24, **settings}
    model = build_model(ModelConfig(name=name, **shape), vocab_size=VOCAB)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.3)
    return model.eval()


def ids_of(rows: int, length: int) -> torch.Tensor:
    return torch.randint(6, VOCAB, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "moe", "modernbert", "electra", "metro"])
def test_attention_weights_alone_are_dropped_and_only_in_training(name: str) -> None:
    model, still = model_of(name, attention_dropout=0.5), model_of(name)
    ids = ids_of(4, 12)
    with torch.no_grad():
        assert torch.equal(model(ids), still(ids))
        assert not torch.equal(model.train()(ids), still(ids))
        assert torch.equal(still.train()(ids), still.eval()(ids))


def test_one_token_sees_itself_or_nothing() -> None:
    """With one token the weight is 1: dropped it gives nothing, kept it gives v / (1 - p), head by head."""
    attention = model_of("gpt2", attention_dropout=0.25).blocks[0].attention
    scene = type("Scene", (), {"spans": None, "rope": None, "cache": None, "bias": None, "is_causal": True})
    x = torch.randn(400, 1, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        attention.out.weight.copy_(torch.eye(32))
        attention.out.bias.zero_()
    value = attention.qkv(x)[..., 64:]
    kept = attention.eval()(x, scene, 0)
    torch.testing.assert_close(kept, value)
    torch.manual_seed(0)
    ratio = (attention.train()(x, scene, 0) / value).unflatten(-1, (4, 8)).detach()
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), atol=1e-4, rtol=1e-4)
    found = ratio[..., 0].round(decimals=3).unique().tolist()
    assert found == pytest.approx([0, 1 / 0.75], abs=1e-3)
    assert (ratio[..., 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_the_generator_of_a_pair_keeps_its_own() -> None:
    model = model_of("metro", attention_dropout=0.5)
    assert model.blocks[0].attention.dropout == 0.5 and model.generator.blocks[0].attention.dropout == 0


class Killed(BaseException):
    """Ends a run as SIGKILL would: nothing of ours catches it."""


def test_a_run_with_it_resumes_exactly(
    tiny_config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"max_steps": 6, "checkpoint_every": 2, "eval_every": 6}
    config = tiny_config(out=tmp_path / "whole", **settings)
    shape = dataclasses.replace(config.model, attention_dropout=0.3)
    train(dataclasses.replace(config, model=shape))

    def dying(parts: Any, rows: Any, step: int) -> Any:
        if step == 4:
            raise Killed
        return train_step(parts, rows, step)

    other = dataclasses.replace(config, model=shape, out=tmp_path / "other")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "train_step", dying)
        train(other)
    train(dataclasses.replace(other, resume=True))
    plain = train(tiny_config(out=tmp_path / "plain", **settings))
    whole, again = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("whole", "other"))
    assert whole == again and whole != (tmp_path / "plain/model/model.safetensors").read_bytes()
    assert plain["step"] == 6


@pytest.mark.parametrize("activation", list(FUNCTIONS))
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_activation_is_its_formula(name: str, activation: str) -> None:
    """In the block, in training with more rows than the CPU kernel asks for, and in BERT's head."""
    model = model_of(name, activation=activation)
    mlp, x = model.blocks[0].mlp, torch.randn(20, 16, 32, generator=torch.Generator().manual_seed(3))
    inner = FUNCTIONS[activation](F.linear(x, mlp.up.weight, mlp.up.bias))
    expected = F.linear(inner, mlp.down.weight, mlp.down.bias)
    torch.testing.assert_close(mlp(x, None), expected, atol=1e-5, rtol=1e-4)
    if name == "bert":
        head = model.transform_norm(FUNCTIONS[activation](model.transform(x)))
        torch.testing.assert_close(model.logits(x), model.head(head), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_a_gate_is_its_formula(name: str) -> None:
    """DNABERT-2's: gelu of the first half times the second, biases after it only; BERT's head has gelu."""
    model = model_of(name, activation="geglu")
    mlp, x = model.blocks[0].mlp, torch.randn(20, 16, 32, generator=torch.Generator().manual_seed(3))
    gate, up = F.linear(x, mlp.gate_up.weight).chunk(2, -1)
    expected = F.linear(FUNCTIONS["gelu"](gate) * up, mlp.down.weight, mlp.down.bias)
    torch.testing.assert_close(mlp(x, None), expected, atol=1e-5, rtol=1e-4)
    assert mlp.gate_up.bias is None
    if name == "bert":
        head = model.transform_norm(FUNCTIONS["gelu"](model.transform(x)))
        torch.testing.assert_close(model.logits(x), model.head(head), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("activation", [*FUNCTIONS, "geglu"])
@pytest.mark.parametrize(("name", "position"), [("gpt2", "learned"), ("bert", "learned"), ("gpt2", "alibi"),
                                                ("bert", "rope")])  # fmt: skip
def test_transformers_computes_it(
    tiny_tokenizer: Path, tmp_path: Path, offline_hub: None, name: str, position: str, activation: str
) -> None:
    transformers = pytest.importorskip("transformers")
    settings = {"dropout": 0.1, "attention_dropout": 0.2, "activation": activation}
    model = model_of(name, position=position, **settings)
    out = export_model(model, tiny_tokenizer, tmp_path / "model")
    auto = transformers.AutoModelForCausalLM if model.causal else transformers.AutoModelForMaskedLM
    native = position == "learned" and activation != "geglu"
    trust = {} if native else {"trust_remote_code": True}
    theirs = auto.from_pretrained(out, **trust).eval()
    ids = ids_of(3, 20)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-5, rtol=1e-5)
    assert load_model(out).config == model.config
    said = json.loads((out / "config.json").read_text())
    inside = said.get("attn_pdrop", said.get("attention_probs_dropout_prob"))
    assert inside == 0.2 if native else said["seqloom"]["attention_dropout"] == 0.2


def test_a_folder_of_transformers_keeps_its_activation(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    shape = transformers.BertConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=40, num_hidden_layers=1, num_attention_heads=4,
        max_position_embeddings=24, hidden_act="relu", attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    theirs = transformers.BertForMaskedLM(shape).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours, ids = load_model(tmp_path / "theirs"), ids_of(2, 9)
    assert ours.config.activation == "relu" and ours.config.dropout == 0.1 and ours.config.attention_drop == 0
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "hyena", "attention_dropout": 0.1}, "model 'hyena' has no option attention_dropout"),
        ({"name": "llama", "activation": "relu"}, r"no option activation \(bert, gpt2 have\)"),
        ({"attention_dropout": 1.5}, "attention_dropout must be from 0 to 1, got 1.5"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**settings)
