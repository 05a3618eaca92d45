"""Adafactor (arXiv:1804.04235): the second moment of a matrix by its rows and columns alone."""

from __future__ import annotations

from typing import Any

import torch

from biotrain.optim.config import OptimConfig


def build(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    """torch's form: step t moves by max(1e-3, RMS(w)) min(lr, 1 / sqrt(t)), so lr is relative to the weights.

    Take an lr about 30 times that of AdamW (0.01 in the paper).
    """
    return torch.optim.Adafactor(groups, lr=config.lr)
