"""State-space models: published sizes, what starts how, what must not decay, numbers of transformers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from biodata.codon import CODONS
from biodata.errors import ConfigError
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.config import TrainConfig
from biotrain.export import load_model
from biotrain.layers.transformer import Transformer
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model, count_parameters, flops_per_token
from biotrain.models.caduceus import complement_ids
from biotrain.models.ssm_config import SsmConfig
from biotrain.objectives import ObjectiveConfig
from biotrain.optim import OptimConfig
from biotrain.optim.groups import parameter_groups
from biotrain.remat import checkpoint_blocks, compile_blocks
from seqloom_cli.recipe import Places, check_recipe, read_recipe
from tests.vocabularies import dna_tokens

NAMES = ("mamba", "mamba2", "bimamba", "caduceus")
HELM = {"position": "learned", "context": 444, "tie_embeddings": False}


def model_of(name: str, **changes: Any) -> Transformer:
    config = ModelConfig(name=name, **{"layers": 2, "width": 32, "context": 64, **changes})
    config = config.architecture.of_tokens(config, dna_tokens(30))
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
    "caduceus": ({"name": "caduceus", "layers": 16, "width": 256}, 16, 7_725_312),
    "helm-bimamba-50m": (
        {"name": "bimamba", "layers": 20, "width": 256, "ffn": 1024, **HELM},
        70,
        51_764_993,
    ),
    "helm-mamba-50m": ({"name": "mamba", "layers": 40, "width": 256, "ffn": 1024, **HELM}, 70, 49_137_920),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_published_sizes(case: str) -> None:
    settings, vocab_size, published = PUBLISHED[case]
    config = ModelConfig(**settings)
    assert count_parameters(config, vocab_size=vocab_size)["total"] == published
    config = config.architecture.of_tokens(config, dna_tokens(vocab_size) if vocab_size < 100 else [])
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
@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
def test_bf16_weights_and_autocast_scan_in_float32(name: str) -> None:
    model, ids = model_of(name, width=64).train(), ids_of(2, 40)
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
        ({"name": "bimamba", "bidirectional": False}, "'bimamba' has no bidirectional False"),
        ({"name": "caduceus", "position": "learned"}, r"no position 'learned' \(allowed: none\)"),
        ({"name": "mamba", "ssm": SsmConfig(head_channels=8)}, "'mamba' has no option head_channels"),
        ({"name": "bimamba", "ssm": SsmConfig(equivariant=True)}, "'bimamba' has no option equivariant"),
        ({"name": "mamba2", "ssm": SsmConfig(dt_rank=8)}, "'mamba2' has no option dt_rank"),
        ({"name": "mamba2", "width": 40}, "has 80 channels .* which head_channels 64 does not divide"),
        (
            {"name": "caduceus", "ssm": SsmConfig(equivariant=False, complement=(0,))},
            "complement is for a model that reads both strands",
        ),
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


def opposite(ids: torch.Tensor, tokens: list[str]) -> torch.Tensor:
    return torch.tensor(complement_ids(tokens))[ids].flip(1)


@pytest.mark.parametrize("padded", [False, True])
def test_caduceus_reads_both_strands_alike(padded: bool) -> None:
    model, tokens, ids = model_of("caduceus"), dna_tokens(30), ids_of(2, 21)
    ids[:, 0], ids[:, -1], mask = 1, 2, None
    if padded:
        mask = torch.ones(2, 21, dtype=torch.bool)
        mask[1, 13:] = False
    there = None if mask is None else mask.flip(1)
    straight, turned = model(ids, mask=mask), model(opposite(ids, tokens), mask=there)
    expected = straight.flip(1)[..., list(complement_ids(tokens))]
    real = torch.ones(2, 21, dtype=torch.bool) if there is None else there
    torch.testing.assert_close(turned[real], expected[real], atol=1e-6, rtol=1e-6)
    assert (turned - straight).abs().max() > 0.1
    one = model_of("caduceus", ssm=SsmConfig(equivariant=False))
    both = (one(opposite(ids, tokens)), one(ids).flip(1)[..., list(complement_ids(tokens))])
    assert (both[0] - both[1]).abs().max() > 0.1


def test_both_strands_of_a_sequence_are_what_the_tokenizer_makes_of_them() -> None:
    tokens = [*SPECIAL_TOKENS, *CODONS]
    ids = {token: number for number, token in enumerate(tokens)}
    gene = torch.tensor([[1, *(ids[c] for c in ("ATG", "GCC", "TAA")), 2]])
    other = [1, *(ids[c] for c in ("TTA", "GGC", "CAT")), 2]
    assert opposite(gene, tokens).tolist() == [other]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("A", "C", "D", "E"), "token 'E' is no DNA"),
        (("A", "C", "G", "T", "AC"), "'AC' is a token and 'GT' is not"),
    ],
)
def test_a_vocabulary_without_complements_is_one_line(tokens: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        complement_ids((*SPECIAL_TOKENS, *tokens))
    assert "\n" not in str(caught.value) and "equivariant false" in str(caught.value)


def test_caduceus_without_a_vocabulary_is_one_line() -> None:
    with pytest.raises(ConfigError, match="needs the complement of 30 tokens, got 0"):
        build_model(ModelConfig(name="caduceus"), vocab_size=30)


def test_caduceus_trains_on_codons_and_keeps_its_complement(tiny_config: Callable[..., TrainConfig]) -> None:
    config = tiny_config(
        model=ModelConfig(name="caduceus", layers=1, width=16, context=32),
        objective=ObjectiveConfig(name="mlm"),
        max_steps=2,
    )
    train(config)
    model = load_model(config.paths().out)
    tokens = [*SPECIAL_TOKENS, *CODONS]
    assert model.config.ssm is not None and model.config.ssm.complement == complement_ids(tokens)
    ids = torch.randint(6, 70, (1, 9), generator=torch.Generator().manual_seed(0))
    turned = model(ids).flip(1)[..., list(complement_ids(tokens))]
    torch.testing.assert_close(model(opposite(ids, tokens)), turned, atol=1e-6, rtol=1e-6)


def test_a_layer_of_caduceus_is_two_of_transformers() -> None:
    """arXiv:2403.03234, section 4.1: one direction and the other between shared projections, added."""
    from transformers.models.mamba import modeling_mamba as theirs

    model, ids = model_of("caduceus", layers=1, ssm=SsmConfig(equivariant=False)), ids_of(2, 11)
    mixer, x = model.blocks[0].mixer, model.tokens(ids)

    def one(core: Any, x: torch.Tensor) -> torch.Tensor:
        layer = theirs.MambaMixer(theirs.MambaConfig(hidden_size=32), 0).eval()
        weights = {name.replace("conv_", "conv1d."): p for name, p in core.state_dict().items()}
        weights |= {"in_proj.weight": mixer.in_proj.weight, "out_proj.weight": mixer.out.weight}
        layer.load_state_dict(weights)
        return layer(x)

    normed = model.blocks[0].norm1(x)
    x = x + one(mixer.ahead, normed) + one(mixer.back, normed.flip(1)).flip(1)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), model.head(model.norm(x)), atol=1e-5, rtol=1e-5)


def test_two_blocks_are_joined_as_helm_joins_them() -> None:
    model, ids = model_of("bimamba", layers=1, ffn=24, position="learned"), ids_of(2, 11)
    block, x = model.blocks[0], model.tokens(ids) + model.positions.weight[:11]
    zeros = torch.zeros_like(x)
    gate = model.gate(torch.cat((x, zeros), -1)).sigmoid()
    x = x * gate + zeros * (1 - gate)

    def one(part: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        from biotrain.layers.ssm_flow import Flow

        residual = x + part.mixer(part.norm1(x), Flow(None, None, None))
        gate, up = part.mlp.gate_up(part.norm2(residual)).chunk(2, -1)
        return part.mlp.down(torch.nn.functional.silu(gate) * up), residual

    (ahead, first), (back, second) = one(block.ahead, x), one(block.back, x.flip(1))
    x = block.join(torch.cat((ahead, back.flip(1)), -1)) + 0.5 * (first + second.flip(1))
    torch.testing.assert_close(model(ids), model.head(model.norm(x)), atol=1e-5, rtol=1e-5)


RECIPES = {  # layers, width, inner width; sizes by hand
    "mamba": {"20m": (8, 384, 1536), "50m": (40, 256, 1024), "100m": (9, 768, 3072), "150m": (8, 1024, 4096)},
    "bimamba": {
        "20m": (4, 384, 1536),
        "50m": (20, 256, 1024),
        "100m": (4, 768, 3072),
        "150m": (4, 1024, 4096),
    },
}


@pytest.mark.parametrize(("name", "size"), [(n, s) for n, sizes in RECIPES.items() for s in sizes])
def test_helm_recipes(name: str, size: str) -> None:
    layers, d, f = RECIPES[name][size]
    recipe = f"helm-{name}-{size}"
    config = check_recipe(read_recipe(recipe, []), Places.under(Path("run")), where=recipe).train.model
    c, rank = 2 * d, d // 16
    mixer = 3 * d * c + 5 * c + c * (rank + 32) + (rank + 1) * c + 16 * c + c
    block = mixer + 3 * d * f + 2 * d
    around = (2 * 70 + 444) * d + d
    by_hand = layers * block + around
    if name == "bimamba":
        by_hand = layers * (2 * block + 2 * d * d + d) + around + 2 * d + 1
    assert count_parameters(config, vocab_size=70)["total"] == by_hand
    with torch.device("meta"):
        assert sum(p.numel() for p in config.architecture.build(config, 70).parameters()) == by_hand
    assert by_hand / 1e6 == pytest.approx(int(size[:-1]), rel=0.17)


def test_only_a_table_of_positions_ends() -> None:
    ids = ids_of(1, 40)
    assert model_of("mamba", context=8)(ids).isfinite().all()
    with pytest.raises(ConfigError, match="40 tokens are more than the model's context of 8"):
        model_of("mamba", context=8, position="learned")(ids)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("name", ["mamba2", "bimamba"])
def test_blocks_computed_again_or_compiled_are_the_same(name: str) -> None:
    ids = ids_of(2, 20)

    def run(change: Callable[[torch.nn.Module], None] | None) -> list[torch.Tensor]:
        model = model_of(name, layers=1).train()
        if change is not None:
            change(model)
        logits = model(ids)
        return [logits.detach(), *torch.autograd.grad(logits.square().sum(), list(model.parameters()))]

    plain = run(None)
    for change in (checkpoint_blocks, partial(compile_blocks, backend="eager")):
        for a, b in zip(run(change), plain):
            torch.testing.assert_close(a, b, atol=1e-6 * float(b.abs().max() + 1), rtol=1e-5)
