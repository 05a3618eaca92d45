"""Optimizers. `OPTIMIZERS` and `OptimConfig` need no torch; `build_optimizer` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biotrain.optim.config import OPTIMIZERS, OptimConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

__all__ = ["OPTIMIZERS", "OptimConfig", "build_optimizer"]


def build_optimizer(model: nn.Module, config: OptimConfig) -> Optimizer:
    """The optimizer of a model's trainable parameters, grouped by `biotrain.optim.groups`.

    Its state holds tensors only, by parameter, so that a checkpoint needs no pickle.
    """
    from biotrain.optim.groups import parameter_groups

    return OPTIMIZERS.load(config.name)(parameter_groups(model, config), config)
