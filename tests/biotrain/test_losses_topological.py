"""Topological loss: the game and its diagrams are those of bioeval (gudhi, the plain loop), the gradient is
that of finite differences, and the loss what it says, however a batch is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from biodata.errors import ConfigError
from biodata.tokenizers.letters import nuc, nuc16
from bioeval.metrics.cgr import cgr_points
from bioeval.metrics.persistence import persistence_diagrams
from bioeval.metrics.persistence import sliced_wasserstein as plain_distance
from biotrain.losses import LossConfig, build_loss
from biotrain.losses.topology import NEGLIGIBLE, alpha_diagrams, sliced_wasserstein, soft_chaos_game

TOKENS = nuc().tokens
A, T, N, EOS = 6, 9, 10, 2


def logits_of(rows: int, *, size: int = len(TOKENS), seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def letters_of(rows: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randint(A, T + 1, (rows,), generator=torch.Generator().manual_seed(seed))


def loss_of(**settings: Any) -> torch.nn.Module:
    return build_loss(LossConfig(name="topological", **settings), tokens=TOKENS)


@pytest.mark.parametrize("rows", [1, 30, 200])
def test_the_game_of_certain_letters_is_the_game(rows: int) -> None:
    codes = letters_of(rows) - A
    points = soft_chaos_game(F.one_hot(codes, 4))
    np.testing.assert_allclose(points, cgr_points(codes.numpy().astype(np.uint8)), rtol=0, atol=1e-15)


def test_the_game_of_distributions_is_the_expected_point() -> None:
    p = logits_of(6, size=4).softmax(1)
    every = torch.cartesian_prod(*[torch.arange(4)] * 6)
    chance = torch.stack([p[i, every[:, i]] for i in range(6)]).prod(0)
    ends = torch.stack([soft_chaos_game(F.one_hot(word, 4))[-1] for word in every])
    torch.testing.assert_close(soft_chaos_game(p)[-1], chance @ ends)


@pytest.mark.parametrize("kind", ["soft", "hard", "repeats"])
def test_diagrams_equal_gudhis(kind: str) -> None:
    if kind == "soft":
        points = soft_chaos_game(logits_of(150, size=4).softmax(1))
    else:
        codes = letters_of(400) - A if kind == "hard" else torch.arange(120) % 4
        points = soft_chaos_game(F.one_hot(codes, 4))
    found = alpha_diagrams(points)
    for mine, gudhis in zip(found, persistence_diagrams(points.numpy()).values()):
        real = gudhis[gudhis[:, 1] ** 2 - gudhis[:, 0] ** 2 > NEGLIGIBLE]
        assert len(mine) == len(real) > 0
        mine = mine[np.lexsort(mine.numpy().T)].numpy()
        np.testing.assert_allclose(mine, real[np.lexsort(real.T)], rtol=0, atol=1e-6)


def test_the_distance_is_bioevals() -> None:
    one, other = (alpha_diagrams(soft_chaos_game(logits_of(60, size=4, seed=s).softmax(1))) for s in (1, 2))
    for a, b in zip(one, other):
        assert sliced_wasserstein(a, b).item() == pytest.approx(
            plain_distance(a.numpy(), b.numpy()), rel=1e-9
        )


def test_the_gradient_is_that_of_finite_differences() -> None:
    loss, targets = loss_of(topology_weight=2.0), letters_of(40)
    counts = torch.tensor([25, 15])
    logits = logits_of(40).requires_grad_()
    loss(logits, targets, counts).backward()
    assert logits.grad is not None
    direction = logits_of(40, seed=5)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (loss(logits + s * step * direction, targets, counts) for s in (1, -1))
    slope = (ahead - behind).item() / (2 * step)
    assert slope == pytest.approx((logits.grad * direction).sum().item(), rel=1e-6)


def test_it_is_cross_entropy_and_the_weighted_distance() -> None:
    logits, targets = logits_of(30), letters_of(30)
    targets[12], targets[-1] = N, EOS
    known = (targets >= A) & (targets <= T)
    soft, hard = logits[:, A : T + 1].softmax(1), F.one_hot((targets - A).clamp(0, 3), 4).double()
    clouds = [torch.cat([soft_chaos_game(x[:12]), soft_chaos_game(x[13:29])]) for x in (soft, hard)]
    distance = sum(sliced_wasserstein(*both) for both in zip(*map(alpha_diagrams, clouds)))
    expected = F.cross_entropy(logits, targets) + 0.3 * distance * int(known.sum()) / 30
    value = loss_of(topology_weight=0.3)(logits, targets, torch.tensor([30]))
    torch.testing.assert_close(value, expected)
    plain = loss_of(topology_weight=0.0)(logits, targets, torch.tensor([30]))
    torch.testing.assert_close(plain, F.cross_entropy(logits, targets))


def test_whole_sequences_add_up_and_right_answers_are_near() -> None:
    loss, sizes = loss_of(topology_weight=1.0, topology_points=16), [20, 5, 3, 0, 12]
    logits, targets = logits_of(40), letters_of(40)
    whole = loss(logits, targets, torch.tensor(sizes))
    parts = [
        loss(x, y, torch.tensor([n])) * n
        for x, y, n in zip(logits.split(sizes), targets.split(sizes), sizes)
        if n
    ]
    torch.testing.assert_close(whole, torch.stack(parts).sum() / 40)
    right = F.one_hot(targets, len(TOKENS)).double() * 40
    assert loss(right, targets, torch.tensor(sizes)) < 0.01 < loss(right * 0, targets, torch.tensor(sizes))


@pytest.mark.parametrize("scale", [0.0, 200.0, 1e4])
def test_finite_where_points_fall_together(scale: float) -> None:
    logits = (torch.ones(12, len(TOKENS)) * scale).requires_grad_()
    value = loss_of()(logits, torch.full((12,), A), torch.tensor([12]))
    value.backward()
    assert value.isfinite() and logits.grad is not None and logits.grad.isfinite().all()


def test_only_single_nucleotides() -> None:
    build_loss(LossConfig(name="topological"), tokens=nuc16().tokens)
    for tokens, wrong in ((("A", "C", "G", "T", "ACG"), "'ACG' is no nucleotide"), (TOKENS[:8], "lacks 'G'")):
        with pytest.raises(ConfigError, match=wrong):
            build_loss(LossConfig(name="topological"), tokens=tokens)
