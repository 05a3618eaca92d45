"""Muon (https://kellerjordan.github.io/posts/muon) for hidden matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from biotrain.optim import adamw
from biotrain.optim.config import OptimConfig


class MuonAdamW(torch.optim.Optimizer):
    """Two optimizers that share one table of groups and one of states, so the pair is saved like any other.

    Muon moves a matrix [A, B] by 0.2 sqrt(max(A, B)) of its orthogonalised momentum, whose entries then have
    the size of AdamW's (arXiv:2502.16982, section 2.2): the same lr and decay serve both. Embeddings, output,
    biases, norms and what has three dimensions (experts, convolutions) are AdamW's.

    Args:
        groups: parameter groups with `hidden`.
        config: settings of both.
    """

    def __init__(self, groups: list[dict[str, Any]], config: OptimConfig) -> None:
        hidden = [group for group in groups if group["hidden"]]
        others = [group for group in groups if not group["hidden"]]
        self._members = [adamw.build(others, config)] if others else []
        if hidden:
            self._members.append(torch.optim.Muon(hidden, lr=config.lr, momentum=config.momentum or 0.0,
                                                  adjust_lr_fn="match_rms_adamw"))  # fmt: skip
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
