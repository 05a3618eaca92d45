"""The shipped shapes: parameters as published, or as transformers' own class of that shape has."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from biotrain.models import ModelConfig, build_model, count_parameters
from seqloom_cli.recipe import Places, check_recipe, read_recipe, recipe_names

HELM = {  # layers, width; 49,610,240 is the published shape's count, the others its closed form
    "20m": (12, 384, 21_518_592),
    "50m": (10, 640, 49_610_240),
    "100m": (14, 768, 99_680_256),
    "150m": (12, 1024, 151_754_752),
}
MOE = {  # (layers, width, heads, kv_heads, experts, ffn), millions of parameters in all and active
    "small-8m": ((4, 256, 4, 2, 4, 512), 7.117056, 3.971328),
    "medium-35m": ((8, 512, 8, 4, 4, 512), 31.547904, 18.964992),
    "large": ((12, 1024, 16, 8, 8, 4096), 1246.09, 340.13),  # Genos-1.2B: "1.2B, 0.33B active"
}


def config_of(recipe: str, *changes: str) -> ModelConfig:
    values = read_recipe(recipe, list(changes))
    return check_recipe(values, Places.under(Path("run")), where=recipe).train.model


def meta_parameters(config: ModelConfig, vocab_size: int) -> int:
    with torch.device("meta"):
        model = config.architecture.build(config, vocab_size)
    return sum(p.numel() for p in model.parameters())


def test_every_recipe_is_valid() -> None:
    names = recipe_names()
    assert {f"helm-{m}-{s}" for m in ("gpt2", "bert") for s in HELM} <= set(names)
    assert {f"moe-{s}" for s in MOE} | {"metro-base", "dnabert2"} <= set(names)
    for name in names:
        config_of(name)
    assert len(names) == len(list((files("seqloom_cli") / "recipes").iterdir()))


def test_recipes_that_read_codons_take_coding_sequences() -> None:
    for name in recipe_names():
        values = read_recipe(name, [])
        if values["tokenizer"]["kind"] == "codon":
            assert values["data"]["read"]["take"] == "cds", name


@pytest.mark.parametrize("size", HELM)
def test_helm_gpt2(size: str) -> None:
    layers, width, published = HELM[size]
    config = config_of(f"helm-gpt2-{size}")
    by_hand = layers * (12 * width**2 + 13 * width) + (2 * 70 + 444) * width + 2 * width
    assert count_parameters(config, vocab_size=70)["total"] == by_hand == published
    assert meta_parameters(config, 70) == published


@pytest.mark.parametrize("size", HELM)
def test_helm_bert_is_transformers_without_segments(size: str) -> None:
    transformers = pytest.importorskip("transformers")
    layers, width, _ = HELM[size]
    config = config_of(f"helm-bert-{size}")
    shape = transformers.BertConfig(
        vocab_size=70, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=444, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        hf = transformers.BertForMaskedLM(shape)
    segments, second_bias = 2 * width, 70
    expected = sum(p.numel() for p in hf.parameters()) - segments - second_bias
    assert count_parameters(config, vocab_size=70)["total"] == expected == meta_parameters(config, 70)


@pytest.mark.parametrize("size", MOE)
def test_moe(size: str) -> None:
    (layers, d, heads, groups, experts, f), total, active = MOE[size]
    config = config_of(f"moe-{size}")
    counts = count_parameters(config, vocab_size=128)
    attention = 2 * d * d + 2 * d * groups * d // heads
    by_hand = layers * (attention + experts * 3 * d * f + d * experts + 2 * d) + d + 128 * d
    by_hand += 0 if config.tie_embeddings else 128 * d
    assert counts["total"] == by_hand == meta_parameters(config, 128)
    assert counts["total"] / 1e6 == pytest.approx(total, abs=0.005)
    assert counts["active"] / 1e6 == pytest.approx(active, abs=0.006)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2", {"position": "alibi"}),
        ("gpt2", {"bidirectional": True, "tie_embeddings": False}),
        ("bert", {"position": "rope"}),
        ("bert", {"position": "alibi", "activation": "geglu"}),
        ("gpt2", {"activation": "geglu"}),
        ("llama", {"kv_heads": 2}),
        ("llama", {"position": "learned", "tie_embeddings": False}),
        ("moe", {"kv_heads": 1}),
    ],
)
def test_closed_form_equals_the_built_model(name: str, changes: dict[str, Any]) -> None:
    config = ModelConfig(name=name, layers=2, width=24, heads=2, context=9, **changes)
    model = build_model(config, vocab_size=13)
    assert count_parameters(config, vocab_size=13)["total"] == sum(p.numel() for p in model.parameters())


def test_metro_base() -> None:
    """Discriminator and generator of METRO-T0's base, 12 and 4 layers of 768, and what is around them."""
    config, d, vocab = config_of("metro-base"), 768, 70
    around = vocab * d + 512 * d + 2 * d + (d * d + d) + (d + 1) + (d * d + d + 2 * d + vocab) + vocab
    by_hand = (12 + 4) * (12 * d * d + 13 * d) + around
    assert count_parameters(config, vocab_size=vocab)["total"] == by_hand == meta_parameters(config, vocab)


def test_dnabert2() -> None:
    """Published: 117,074,176, with a table of two segments, which we have not. Gates have no biases."""
    config, d, f = config_of("dnabert2"), 768, 3072
    block = (4 * d * d + 4 * d) + (3 * d * f + d) + 4 * d
    head = (d * d + d) + 2 * d + 4096
    by_hand = 12 * block + 4096 * d + 2 * d + head
    assert count_parameters(config, vocab_size=4096)["total"] == by_hand == meta_parameters(config, 4096)
    assert by_hand + 2 * d == 117_074_176


HYENA = {"20m": (12, 384), "50m": (7, 768), "100m": (14, 768), "150m": (12, 1024)}
BASED = {  # layers, width, millions; 310m is the published 360M without its text vocabulary
    "14m": (9, 384, 14.3),
    "31m": (11, 512, 31.8),
    "70m": (11, 768, 71.4),
    "160m": (14, 1024, 159.0),
    "310m": (27, 1024, 311.1),
}
TRANSFORMER = {  # layers, width, inner width, millions
    "14m": (8, 384, 1024, 14.2),
    "31m": (10, 512, 1344, 31.1),
    "70m": (10, 768, 2048, 70.8),
    "160m": (13, 1024, 2688, 161.9),
    "310m": (25, 1024, 2688, 311.4),
}


@pytest.mark.parametrize("size", HYENA)
def test_helm_hyena(size: str) -> None:
    """A filter of 3 features, 64 wide; the mixer of the 50M model has HELM's 2,430,144 parameters."""
    layers, d = HYENA[size]
    config = config_of(f"helm-hyena-{size}")
    network = (3 * 64 + 64) + 2 * (64 * 64 + 64) + 64 * d + 64
    mixer = (4 * d * d + 4 * d) + 3 * d * 4 + d + network
    assert d != 768 or mixer == 2_430_144
    by_hand = layers * (mixer + 8 * d * d + 5 * d + 4 * d) + 2 * d + (2 * 70 + 444) * d
    assert count_parameters(config, vocab_size=70)["total"] == by_hand == meta_parameters(config, 70)
    assert by_hand / 1e6 == pytest.approx(float(size[:-1]), rel=0.1)


@pytest.mark.parametrize(("size", "published"), [("tiny", 436_096), ("medium", 6_550_528)])
def test_hyenadna(size: str, published: int) -> None:
    config = config_of(f"hyenadna-{size}")
    assert count_parameters(config, vocab_size=16)["total"] == published == meta_parameters(config, 16)


@pytest.mark.parametrize("size", BASED)
def test_based(size: str) -> None:
    layers, d, millions = BASED[size]
    config = config_of(f"based-{size}")
    assert config.based is not None
    linear = len(config.based.linear_layers)
    assert linear == len(config.based.window_layers) == (layers + 1) // 5
    mixers = linear * (2 * d * d + 2 * d * d // 4) + linear * 4 * d * d
    mixers += (layers - 2 * linear) * (6 * d * d + 3 * 2 * d)
    by_hand = mixers + layers * (6 * d * d + 2 * d) + d + 16 * d
    assert count_parameters(config, vocab_size=16)["total"] == by_hand == meta_parameters(config, 16)
    assert by_hand / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", TRANSFORMER)
def test_transformer_of_any_context(size: str) -> None:
    layers, d, f, millions = TRANSFORMER[size]
    by_hand = layers * (4 * d * d + 3 * d * f + 2 * d) + d + 16 * d
    for context in (64, 256, 1024, 4096):
        config = config_of(f"transformer-{size}", f"train.model.context={context}")
        assert config.context == context
        assert count_parameters(config, vocab_size=16)["total"] == by_hand
    assert meta_parameters(config, 16) == by_hand
    assert by_hand / 1e6 == pytest.approx(millions, abs=0.05)
