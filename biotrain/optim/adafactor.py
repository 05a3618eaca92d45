"""Adafactor (arXiv:1804.04235): the second moment of a matrix by its rows and columns alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from biotrain.optim.config import OptimConfig
from biotrain.parallel import cut_like, everywhere, whole

SMALLEST_WEIGHTS = 1e-3
"""RMS that a tensor is taken to have at least, so that what begins at 0 learns (the paper's epsilon 2)."""


class Adafactor(torch.optim.Optimizer):
    """w -= lr x weight decay x w; then w -= max(1e-3, RMS(w)) min(lr, 1 / sqrt(t)) u / max(1, RMS(u)).

    u = g / sqrt(v), with v a moving average of g^2 at decay 1 - t^-0.8 (algorithms 4 and 5 of the paper); of
    what has two and more dimensions v = r c / mean(r), r and c the averages of rows and columns. torch's
    form, whose own cannot be used on tensors in parts (2.13). r and c are whole in every process.

    Args:
        groups: parameter groups.
        lr: learning rate, relative to the weights.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - no closure is ever given
        self, closure: Callable[[], float] | None = None
    ) -> None:
        """One update of every parameter with a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                state.setdefault("step", torch.tensor(0.0))
                state["step"] += 1
                number = state["step"].item()
                size = max(SMALLEST_WEIGHTS, _rms(p)) * min(group["lr"], number**-0.5)
                move = p.grad * _second_moment(state, p.grad, new=number**-0.8).rsqrt()
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(move, alpha=-size / max(1.0, _rms(move)))


def _second_moment(state: dict[str, Tensor], gradient: Tensor, *, new: float) -> Tensor:
    """v after a gradient, in parts like it; `new` is the share of the gradient's own."""
    squared, least = gradient.square(), torch.finfo(gradient.dtype).eps
    if gradient.ndim < 2:
        known = state.setdefault("variance", torch.zeros_like(gradient))
        return known.lerp_(squared, new).clamp_min(least**2)
    for name, dim in (("row_var", -1), ("col_var", -2)):
        mean = whole(squared.sum(dim, keepdim=True)) / gradient.shape[dim]
        state.setdefault(name, torch.zeros_like(mean)).lerp_(mean, new)
    rows, columns = state["row_var"], state["col_var"]
    share = rows / rows.mean(-2, keepdim=True).clamp_min(least)
    if gradient.ndim > 2:  # parts are cut along the first dimension, which columns have then too
        return (cut_like(share, gradient) * cut_like(columns, gradient)).clamp_min(least**2)
    return (cut_like(share, gradient) * everywhere(columns, gradient)).clamp_min(least**2)


def _rms(x: Tensor) -> float:
    return whole(torch.linalg.vector_norm(x)).item() / x.numel() ** 0.5


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """Adafactor for all parameters. Take an lr about 30 times that of AdamW (0.01 in the paper)."""
    return Adafactor(groups, lr=config.lr)
