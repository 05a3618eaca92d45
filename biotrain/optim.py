"""Optimizers, and which parameters decay."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from biotrain.config import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only (embeddings included), not on biases, norms and scales.

    Fused also on the CPU, where torch's own default updates one small operation at a time.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip_gradient(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Scales all gradients so that their joint Euclidean norm is at most `limit` (0 = leaves them).

    Returns:
        The norm before clipping, a scalar on the parameters' device.
    """
    parameters = [p for p in parameters if p.grad is not None]
    if limit:
        return nn.utils.clip_grad_norm_(parameters, limit)
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
