"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685, equation 3): h = W0 x + (alpha / r) B A x.

W0 stays as it is, A starts random and B at zero, so that training starts from the model itself.
"""

from __future__ import annotations

import re
from typing import Any

from biodata.errors import ConfigError

_ATTENTION = re.compile(
    r"(^|\.)(q|v|query|value|q_proj|v_proj|q_lin|v_lin|wq|wv|c_attn|qkv|wqkv|query_key_value|in_proj)$", re.I
)


def adapt(model: Any, *, rank: int, alpha: float) -> list[str]:
    """Freezes a model and gives its attention projections adapters; all linear layers where it has none.

    Args:
        model: changed in place.
        rank: r, at least 1.
        alpha: scale, above 0.

    Returns:
        Names of the adapted layers.

    Raises:
        ConfigError: a model without a linear layer.
    """
    model.requires_grad_(False)
    linear = [name for name, module in model.named_modules() if _sizes(module) is not None]
    chosen = [name for name in linear if _ATTENTION.search(name)] or linear
    if not chosen:
        raise ConfigError("lora: the model has no linear layer to adapt, choose probe full")
    for name in chosen:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, _adapter(model.get_submodule(name), rank, alpha))
    return chosen


def _sizes(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; GPT-2's `Conv1D` has its weight turned."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def _adapter(layer: Any, rank: int, alpha: float) -> Any:
    import torch
    from torch import nn

    sizes = _sizes(layer)
    assert sizes is not None

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer
            self.a = nn.Parameter(torch.randn(rank, sizes[0]) / sizes[0] ** 0.5)
            self.b = nn.Parameter(torch.zeros(sizes[1], rank))

        def forward(self, x: Any) -> Any:
            return self.layer(x) + (alpha / rank) * (x @ self.a.T @ self.b.T)

    return Adapted()
