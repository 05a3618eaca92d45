"""Lion (arXiv:2302.06675, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from biotrain.optim.config import OptimConfig


class Lion(torch.optim.Optimizer):
    """w -= lr (sign(b1 m + (1 - b1) g) + weight decay x w); then m = b2 m + (1 - b2) g.

    Every weight moves by the same amount, so take an lr 3 to 10 times smaller, and a decay as much larger,
    than with AdamW.

    Args:
        groups: parameter groups.
        lr: learning rate.
        betas: (b1, b2).
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - no closure is ever given
        self, closure: Callable[[], float] | None = None
    ) -> None:
        """One update of every parameter with a gradient."""
        for group in self.param_groups:
            first, second = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                moment = self._moment(p)
                move = moment.lerp(p.grad, 1 - first).sign_()
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(move, alpha=-group["lr"])
                moment.lerp_(p.grad, 1 - second)

    def _moment(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "exp_avg" not in state:
            state["exp_avg"] = torch.zeros_like(parameter)
        return state["exp_avg"]


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """Lion for all parameters."""
    assert config.betas
    return Lion(groups, lr=config.lr, betas=config.betas)
