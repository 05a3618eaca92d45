"""Groups of parameters: who decays, who learns slower."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from biotrain.mup import growths
from biotrain.optim.config import OptimConfig

_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Parameters with the same weight decay, share of the learning rate and kind, in the model's order.

    Weight decay is for matrices (embeddings included), not for biases, norms and scales, nor for what a
    module names in `undecayed`. With a layer decay g, depth d of L blocks (embeddings 0, the blocks 1 to L,
    all above L + 1) learns at lr g^(L + 1 - d) (ELECTRA, arXiv:2003.10555, appendix B; BEiT). What has grown
    by m learns at lr / m and decays at m times the decay (`biotrain.mup`).

    Returns:
        Groups of `params`, `weight_decay`, `scale` (share of the learning rate) and `hidden`, whether they
        are matrices between embedding and output.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    spared = {
        id(m.get_parameter(name)) for m in model.modules() for name in getattr(m, "undecayed", frozenset())
    }
    blocks = 1 + max((_block(name) for name, _ in named), default=-1)
    grown = growths(model)
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, p in named:
        block = _block(name)
        depth = 0 if id(p) in tables else block + 1 if block >= 0 else blocks + 1
        decay = config.weight_decay if p.ndim >= 2 and id(p) not in spared else 0.0
        hidden = p.ndim == 2 and block >= 0 and id(p) not in tables | spared
        factor = grown[name].factor if name in grown else 1.0
        key = (decay * factor, config.layer_decay ** (blocks + 1 - depth) / factor, hidden)
        groups.setdefault(key, []).append(p)
    return [
        {"params": params, "weight_decay": decay, "scale": scale, "hidden": hidden}
        for (decay, scale, hidden), params in groups.items()
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the rate of every group to its share of `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


def _block(name: str) -> int:
    """Number of the block a parameter belongs to; -1 outside of all."""
    match = _BLOCK.search(name)
    return int(match[1]) if match else -1
