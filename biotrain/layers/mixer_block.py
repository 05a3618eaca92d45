"""A pre-norm block around any layer that mixes the tokens of a sequence.

Shapes: B sequences, T tokens, D width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.feed_forward import build_feed_forward
from biotrain.layers.kernels import rms_norm
from biotrain.layers.scene import Scene
from biotrain.models.architecture import Style
from biotrain.models.config import ModelConfig


class Mixer(nn.Module):
    """A layer through which tokens of a sequence see one another.

    The model draws normal weights, zero biases and ones, and weights called `out` smaller, as GPT-2 does;
    what is to start otherwise is set by `init_weights` afterwards.
    """

    @abstractmethod
    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D].

        Args:
            x: `[B, T, D]`.
            scene: what every layer needs to know of the batch: places, mask, documents, states.
            layer: number of the layer, 0-based.
        """

    def init_weights(self, generator: torch.Generator) -> None:
        """Draws what does not start as elsewhere in the model."""


class MixerBlock(nn.Module):
    """x + mixer(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, config: ModelConfig, style: Style, mixer: Mixer) -> None:
        super().__init__()
        self.norm1 = make_norm(config, style)
        self.mixer = mixer
        self.norm2 = make_norm(config, style)
        self.mlp = build_feed_forward(config)
        self.dropout = config.dropout

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        x = x + self._drop(self.mixer(self.norm1(x), scene, layer))
        return x + self._drop(self.mlp(self.norm2(x), scene))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


def mix_apart(x: Tensor, scene: Scene, mix: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
    """Mixes the tokens of each sequence, or of each document where several lie in a row.

    Args:
        x: [B, T, C].
        scene: of the forward pass.
        mix: from [N, L, C] and [N, L] True at real tokens (`None` = all) to [N, L, E]. The documents become
            rows of their own, so no mixer has to know of packing.

    Returns:
        [B, T, E].
    """
    documents = scene.documents
    if documents is None:
        return mix(x, scene.real)
    return documents.together(mix(documents.apart(x), documents.real), len(x))


class RMSNorm(nn.RMSNorm):
    """PyTorch's, by the CPU kernel where that serves."""

    def forward(self, x: Tensor) -> Tensor:
        """[.., D] to [.., D]."""
        return rms_norm(x, self)


def make_norm(config: ModelConfig, style: Style) -> nn.Module:
    """The norm of the architecture's style."""
    if style.norm == "rms":
        return RMSNorm(config.width, eps=config.norm_eps)
    return nn.LayerNorm(config.width, eps=config.norm_eps, bias=style.norm == "layer")
