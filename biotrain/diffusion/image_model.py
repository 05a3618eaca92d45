"""The diffusion transformer over pictures of sequences (DiT, arXiv:2212.09748).

Shapes: B pictures, K channels, S pixels of a side, P of a patch's side, N = (S / P)^2 patches, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.adaln import AdaBlock, AdaNorm, TimeEmbedding, start_weights
from biotrain.layers.scene import Scene
from biotrain.models.config import ModelConfig
from biotrain.models.diffusion_config import ImageConfig

LONGEST = 10_000.0
"""Longest period of the place waves, in patches."""


class DitImage(nn.Module):
    """Patches through blocks with adaptive norms, steered by the time and, where there are labels, by a
    class; the class after the last is none.

    Beside what DiT has, nothing: places are fixed sines and cosines, the norms have no weights, the last
    layer starts at zero.
    """

    causal = False
    places: Tensor

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        assert config.image is not None
        image, width = config.image, config.width
        self.config, self.vocab_size, self.image = config, vocab_size, image
        self.patches = nn.Linear(image.numbers, width)
        self.register_buffer("places", place_waves(image.side // image.patch, width), persistent=False)
        self.time = TimeEmbedding(width)
        self.blocks = nn.ModuleList(
            AdaBlock(config, condition=width, bias=True, affine=False) for _ in range(config.layers)
        )
        self.norm = AdaNorm(config, condition=width, affine=False)
        self.head = nn.Linear(width, image.told)
        if image.label:
            self.labels = nn.Embedding(len(image.classes) + 1, width)

    def init_weights(self, generator: torch.Generator) -> None:
        """Normal weights; zero in every modulation and in the last layer."""
        start_weights(self, std=self.config.init_std, zero=("head.",), generator=generator)

    def new_routing(self) -> None:
        """There are no routers."""

    def forward(
        self,
        pictures: Tensor,
        *,
        times: Tensor,
        mask: Tensor | None = None,
        labels: Tensor | None = None,
        documents: None = None,
        routing: None = None,
    ) -> Tensor:
        """What the noise's share of a picture is told by (`biotrain.diffusion.gaussian`).

        Args:
            pictures: [B, K, S, S] with noise.
            times: [B] from 0 (clean) to 1 (noise).
            labels: [B] classes, the number of classes = none; `None` = none of any.
            mask: of the letters that the pictures were made of; of no use here.
            documents: letters are never packed for pictures.
            routing: there is none.

        Returns:
            [B, K, S, S], or [B, 2 K, S, S] with where the variance lies between its bounds, -1 to 1.
        """
        x = self.patches(to_patches(pictures, self.image)) + self.places
        if self.training and self.config.dropout:
            x = F.dropout(x, self.config.dropout)
        condition = self.time(times[:, None])
        if self.image.label:
            none = times.new_full((len(times),), len(self.image.classes), dtype=torch.long)
            condition = condition + self.labels(none if labels is None else labels)[:, None]
        condition = F.silu(condition)
        scene = Scene(
            places=self.places, is_causal=False, bias=None, rope=None, cache=None, routing=None, real=None
        )
        for layer, block in enumerate(self.blocks):
            x = block(x, scene, layer, condition)
        return from_patches(self.head(self.norm(x, condition)), self.image)


def to_patches(pictures: Tensor, image: ImageConfig) -> Tensor:
    """[B, K, S, S] to [B, N, K P P], patches in reading order."""
    b, grid, p = len(pictures), image.side // image.patch, image.patch
    cut = pictures.view(b, image.channels, grid, p, grid, p)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b, grid * grid, image.numbers)


def from_patches(x: Tensor, image: ImageConfig) -> Tensor:
    """[B, N, K P P] back to [B, K, S, S]; also where K is twice the picture's channels."""
    b, grid, p = len(x), image.side // image.patch, image.patch
    cut = x.view(b, grid, grid, -1, p, p).permute(0, 3, 1, 4, 2, 5)
    return cut.reshape(b, -1, image.side, image.side)


def place_waves(grid: int, width: int) -> Tensor:
    """Fixed sines and cosines of column and row, half of the width each; [grid^2, width].

    Args:
        grid: patches of a side.
        width: a multiple of 4.
    """
    quarter = width // 4
    speed = torch.exp(-math.log(LONGEST) * torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * speed
    line = torch.cat((angles.sin(), angles.cos()), 1)
    columns, rows = line.repeat(grid, 1), line.repeat_interleave(grid, 0)
    return torch.cat((columns, rows), 1).float()
