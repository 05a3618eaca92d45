"""Losses: HXE equals independent values, cross-entropy at alpha 0, and a naive walk down the tree."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from biodata.codon import CODONS, codon_tree
from biodata.errors import ConfigError
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.losses import LossConfig, build_loss

TOKENS = (*SPECIAL_TOKENS, *CODONS)
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "hxe.json").read_text())
RENAMED = {"<cls>": "<bos>", "<distill_token>": "<sep>"}
LEAVES = [RENAMED.get(leaf, leaf) for leaf in GOLDEN["leaf_order"]]


def hxe(**settings: object) -> torch.nn.Module:
    return build_loss(LossConfig(name="hxe", **settings), tokens=TOKENS)


def naive(logits: torch.Tensor, target: str, alpha: float) -> float:
    """The definition, in float64: one conditional probability an edge."""
    p = dict(zip(TOKENS, logits.double().softmax(-1).tolist()))
    tree = codon_tree(SPECIAL_TOKENS)
    path, total, above = tree[target], 0.0, 1.0
    for depth in range(1, len(path) + 1):
        below = math.fsum(p[token] for token in TOKENS if tree[token][:depth] == path[:depth])
        total -= math.exp(-alpha * depth) * math.log(below / above)
        above = below
    return total


@pytest.mark.parametrize(
    "case", GOLDEN["cases"], ids=lambda c: f"{c['alpha']}-{c['target']}-{c['logits'][:3]}"
)
def test_golden_values(case: dict) -> None:
    values = torch.zeros(70) if case["logits"] == "zeros" else torch.linspace(-1, 1, 70, dtype=torch.float64)
    logits = torch.empty(1, 70)
    logits[0, [TOKENS.index(leaf) for leaf in LEAVES]] = values.float()
    target = torch.tensor([TOKENS.index(RENAMED.get(case["target"], case["target"]))])
    for normalize, key in ((False, "unnormalised"), (True, "normalised")):
        loss = hxe(alpha=case["alpha"], normalize=normalize)(logits, target)
        assert loss.item() == pytest.approx(case[key], rel=1e-6)


def test_a_run_says_only_what_its_loss_reads() -> None:
    assert LossConfig(name="xe").in_use() == {"name": "xe"}
    assert LossConfig(name="soft_labels", beta=5.0, table=2).in_use() == {
        "name": "soft_labels", "beta": 5.0, "hierarchy": "true", "tree_seed": 0, "start_codon": "ATG",
        "table": 2,
    }  # fmt: skip


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.6])
def test_every_token_equals_the_definition(alpha: float) -> None:
    logits = torch.randn(1, 70, generator=torch.Generator().manual_seed(0)) * 3
    loss = hxe(alpha=alpha)
    for index, token in enumerate(TOKENS):
        assert loss(logits, torch.tensor([index])).item() == pytest.approx(
            naive(logits[0], token, alpha), rel=2e-6
        )


def test_alpha_zero_is_cross_entropy_exactly() -> None:
    noise = torch.Generator().manual_seed(0)
    logits = (torch.randn(500, 70, generator=noise) * 5).requires_grad_()
    targets = torch.randint(0, 70, (500,), generator=noise)
    ours, reference = hxe(alpha=0.0)(logits, targets), F.cross_entropy(logits, targets)
    assert torch.equal(ours, reference)
    assert all(
        torch.equal(a, b)
        for a, b in zip(torch.autograd.grad(ours, logits), torch.autograd.grad(reference, logits))
    )


def test_ids_may_stand_in_any_order() -> None:
    noise = torch.Generator().manual_seed(0)
    order = torch.randperm(70, generator=noise)
    logits, targets = torch.randn(30, 70, generator=noise), torch.randint(0, 70, (30,), generator=noise)
    shuffled = build_loss(LossConfig(name="hxe"), tokens=[TOKENS[i] for i in order])
    moved = shuffled(logits[:, order], order.argsort()[targets])
    torch.testing.assert_close(moved, hxe()(logits, targets))


@pytest.mark.parametrize("size", [200.0, 1e4])
@pytest.mark.parametrize("target", ["GTT", "ATG", "TAA", "TGG", "<eos>"])
def test_extreme_logits_give_finite_losses_and_gradients(size: float, target: str) -> None:
    logits = torch.full((1, 70), -size)
    logits[0, TOKENS.index("AAA")] = size
    logits.requires_grad_()
    loss = hxe(alpha=0.2)(logits, torch.tensor([TOKENS.index(target)]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and loss > size and gradient.isfinite().all()
    assert gradient[0, TOKENS.index(target)] < -0.1 and gradient[0, TOKENS.index("AAA")] > 0.1


def test_extreme_logits_have_the_derived_value() -> None:
    """The released code returns 0 here. GTT's group V differs from AAA's K below aa_codons: -log P(V) is
    400 - log 4, -log P(GTT | V) log 4, edges weigh exp(-0.6) and exp(-0.8)."""
    logits = torch.full((1, 70), -200.0)
    logits[0, TOKENS.index("AAA")] = 200.0
    loss = hxe(alpha=0.2)(logits, torch.tensor([TOKENS.index("GTT")]))
    expected = math.exp(-0.6) * (400 - math.log(4)) + math.exp(-0.8) * math.log(4)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert loss.item() == pytest.approx(219.3867, abs=1e-3)


def test_gradient_is_that_of_the_definition() -> None:
    noise = torch.Generator().manual_seed(3)
    logits = torch.randn(6, 70, generator=noise, dtype=torch.float64).float().requires_grad_()
    targets = torch.tensor([TOKENS.index(t) for t in ("GTT", "TGG", "ATG", "TAA", "<pad>", "CTG")])
    (gradient,) = torch.autograd.grad(hxe(alpha=0.4)(logits, targets), logits)
    assert gradient.sum(1).abs().max() < 1e-6
    step = 1e-3
    for row, column in ((0, 60), (1, 7), (2, 20), (3, 55), (4, 0), (5, 43)):
        token = TOKENS[targets[row]]
        ends = []
        for sign in (1, -1):
            moved = logits[row].detach().double().clone()
            moved[column] += sign * step
            ends.append(naive(moved, token, 0.4))
        assert gradient[row, column].item() * 6 == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-4)


def test_bf16_logits_are_computed_in_float32() -> None:
    noise = torch.Generator().manual_seed(3)
    logits, targets = torch.randn(40, 70, generator=noise).bfloat16(), torch.arange(40)
    for loss in (hxe(alpha=0.2), build_loss(LossConfig(), tokens=TOKENS)):
        value = loss(logits, targets)
        assert value.dtype == torch.float32 and torch.equal(value, loss(logits.float(), targets))


def test_methionine_can_be_an_amino_acid_and_other_codes_have_other_stops() -> None:
    logits, atg = torch.zeros(1, 70), torch.tensor([TOKENS.index("ATG")])
    alone, amino = hxe(alpha=0.2)(logits, atg).item(), hxe(alpha=0.2, start_codon="")(logits, atg).item()
    w = [math.exp(-0.2 * d) for d in range(5)]
    assert alone == pytest.approx(w[1] * math.log(70 / 64) + w[2] * math.log(64), rel=1e-6)
    assert amino == pytest.approx(
        w[1] * math.log(70 / 64) + w[2] * math.log(64 / 61) + w[3] * math.log(61), rel=1e-6
    )
    tga = torch.tensor([TOKENS.index("TGA")])
    assert hxe(alpha=0.2, table=4)(logits, tga) != hxe(alpha=0.2)(logits, tga)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((*SPECIAL_TOKENS, "A", "C"), "token 'A' is no codon"),
        (TOKENS[:-1], "it lacks codon 'TTT'"),
    ],
)
def test_other_vocabularies_are_refused(tokens: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=f"loss 'hxe' needs a codon tokenizer: {message}"):
        build_loss(LossConfig(name="hxe"), tokens=tokens)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "hex"}, "unknown loss 'hex', did you mean 'hxe'"),
        ({"name": "hxe", "start_codon": "AUG"}, "start_codon must be a codon such as 'ATG' or '', got 'AUG'"),
        ({"name": "hxe", "table": 99}, "unknown NCBI translation table 99"),
        ({"name": "xe", "alpha": 0.4}, "loss 'xe' does not use alpha, which belongs to: hxe"),
        ({"name": "aa_loss_add", "beta": 4.0}, "loss 'aa_loss_add' does not use beta"),
        ({"name": "soft_labels", "beta": 0.0}, "loss beta must be"),
        ({"name": "hxe", "hierarchy": "none"}, "hierarchy is 'none', allowed: true, random, permuted"),
        ({"name": "hxe", "hierarchy": "random", "tree": Path("t.json")}, "tree is given"),
    ],
)
def test_bad_settings_are_one_line(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LossConfig(**fields)
