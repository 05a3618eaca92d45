"""Muon (https://kellerjordan.github.io/posts/muon) for hidden matrices, AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from biotrain.optim import adamw
from biotrain.optim.config import OptimConfig
from biotrain.parallel import cut_like, whole

QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 5
"""Coefficients and rounds of the iteration in Jordan's post, which brings singular values near 1."""


class Muon(torch.optim.Optimizer):
    """b = momentum b + (1 - momentum) g; w -= lr (weight decay w + 0.2 sqrt(max(A, B)) O), O the orthogonal
    matrix next to (1 - momentum) g + momentum b, for matrices [A, B] (arXiv:2502.16982, eq. 4).

    Not torch's own, which computes in bfloat16 always: this one does what autocast says, so that in float32
    runs of one and of several processes agree. Of a matrix in parts each process makes the whole direction.

    Args:
        groups: of matrices.
        lr: learning rate.
        momentum: 0 to below 1.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - no closure is ever given
        self, closure: Callable[[], float] | None = None
    ) -> None:
        """One update of every matrix with a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, momentum = self.state[p], group["momentum"]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                moment = state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
                move = orthogonal(whole(p.grad.lerp(moment, momentum))).to(p.dtype)
                size = 0.2 * math.sqrt(max(p.shape))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(cut_like(move, p), alpha=-group["lr"] * size)


def orthogonal(x: Tensor) -> Tensor:
    """Nearly U V^T of x = U S V^T by Newton-Schulz iteration: singular values come to 0.7 to 1.2.

    >>> singular = torch.linalg.svdvals(orthogonal(torch.tensor([[3.0, 0.0, 1.0], [0.0, 0.5, 0.0]])))
    >>> bool(((singular > 0.6) & (singular < 1.3)).all())
    True
    """
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp_min(1e-7)
    linear, cubic, fifth = QUINTIC
    for _ in range(ROUNDS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=cubic, alpha=fifth), x, beta=linear)
    return x.T if tall else x


class MuonAdamW(torch.optim.Optimizer):
    """Two optimizers that share one table of groups and one of states, so the pair is saved like any other.

    Moves of a matrix have the size of AdamW's (arXiv:2502.16982, section 2.2): the same lr and decay serve
    both. Embeddings, output, biases, norms and what has three dimensions (experts, convolutions) are AdamW's.

    Args:
        groups: parameter groups with `hidden`.
        config: settings of both.
    """

    def __init__(self, groups: list[dict[str, Any]], config: OptimConfig) -> None:
        hidden = [group for group in groups if group["hidden"]]
        others = [group for group in groups if not group["hidden"]]
        self._members = [adamw.build(others, config)] if others else []
        if hidden:
            self._members.append(Muon(hidden, lr=config.lr, momentum=config.momentum or 0.0))
        super().__init__([group for member in self._members for group in member.param_groups], {})
        for member in self._members:
            member.state = self.state
        place = 0
        for member in self._members:  # the groups were copied: let both see the same ones
            member.param_groups = self.param_groups[place : place + len(member.param_groups)]
            place += len(member.param_groups)

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - no closure is ever given
        self, closure: Callable[[], float] | None = None
    ) -> None:
        """One update by each."""
        for member in self._members:
            member.step()


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """Muon and AdamW as one optimizer."""
    return MuonAdamW(groups, config)
