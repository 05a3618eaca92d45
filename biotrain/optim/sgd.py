"""Stochastic gradient descent with Nesterov momentum."""

from __future__ import annotations

from typing import Any

import torch

from biotrain.optim.config import OptimConfig
from biotrain.parallel import in_parts


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """g' = g + weight decay x w; b = momentum x b + g'; w -= lr (g' + momentum x b).

    The decay is part of the gradient here, as usual with SGD, not apart from it as in the others.
    """
    momentum = config.momentum or 0.0
    cut = any(in_parts(p) for group in groups for p in group["params"])  # torch 2.13 has no fused form of it
    return torch.optim.SGD(groups, lr=config.lr, momentum=momentum, nesterov=momentum > 0, fused=not cut)
