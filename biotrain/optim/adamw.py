"""AdamW (arXiv:1711.05101, algorithm 2)."""

from __future__ import annotations

from typing import Any

import torch

from biotrain.optim.config import OptimConfig


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """Fused also on the CPU, where torch's own default updates one small operation at a time."""
    assert config.betas and config.eps
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
