"""Losses. `LOSSES` and `LossConfig` need no torch; `build_loss` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from biotrain.losses.config import LOSSES, LossConfig

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LOSSES", "LossConfig", "build_loss"]


def build_loss(config: LossConfig, *, tokens: Sequence[str]) -> nn.Module:
    """A loss for one vocabulary.

    Args:
        config: which loss, and its settings.
        tokens: the tokenizer's tokens by id.

    Returns:
        A module; `forward(logits [N, V], targets [N])` is the mean over the N rows given, in float32.

    Raises:
        ConfigError: the loss does not fit the vocabulary.

    >>> import torch
    >>> build_loss(LossConfig(), tokens=["<pad>", "A"])(torch.zeros(3, 2), torch.tensor([1, 0, 1])).item()
    0.6931471824645996
    """
    return LOSSES.load(config.name)(config, tokens)
