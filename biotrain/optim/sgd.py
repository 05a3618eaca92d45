"""Stochastic gradient descent with Nesterov momentum."""

from __future__ import annotations

from typing import Any

import torch

from biotrain.optim.config import OptimConfig


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """g' = g + weight decay x w; b = momentum x b + g'; w -= lr (g' + momentum x b).

    The decay is part of the gradient here, as usual with SGD, not apart from it as in the others.
    """
    momentum = config.momentum or 0.0
    return torch.optim.SGD(groups, lr=config.lr, momentum=momentum, nesterov=momentum > 0, fused=True)
