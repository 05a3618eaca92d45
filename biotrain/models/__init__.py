"""Model shapes. `MODELS` and `ModelConfig` need no torch; `build_model` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biotrain.models.config import MODELS, ModelConfig, MoEConfig
from biotrain.models.size import count_parameters, flops_per_token

if TYPE_CHECKING:
    from biotrain.layers.transformer import Transformer

__all__ = ["MODELS", "MoEConfig", "ModelConfig", "build_model", "count_parameters", "flops_per_token"]


def build_model(config: ModelConfig, *, vocab_size: int, seed: int = 0) -> Transformer:
    """A model with fresh weights, on the CPU, in float32 and training mode.

    Args:
        config: shape.
        vocab_size: number of tokens, special ones included.
        seed: of the weights; torch's global random state is neither read nor changed.

    Returns:
        A module with `forward(ids, *, mask=None, rows=None)` giving logits and `hidden(ids, mask=None)`.

    >>> model = build_model(ModelConfig(layers=1, width=8, heads=2, context=4), vocab_size=10)
    >>> sum(p.numel() for p in model.parameters())
    1000
    """
    import torch

    from biotrain.mup import scale_start

    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own, replaced below
        model = config.architecture.build(config, vocab_size)
    model.init_weights(torch.Generator().manual_seed(seed))
    scale_start(model)
    return model
