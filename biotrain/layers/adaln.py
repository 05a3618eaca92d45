"""Blocks that a noise level steers: the adaptive layer norm of DiT (Peebles and Xie, arXiv:2212.09748).

A condition c gives each block a shift, a scale and a gate for each of its two layers (section 3.2,
adaLN-Zero):

    x <- x + gate1(c) attention((1 + scale1(c)) norm(x) + shift1(c)), then so with the feed-forward layer

The layers that make these six start at zero, so that every block starts as the identity.

Shapes: B rows, T tokens, D width, C width of the condition; conditions are [B, 1, C], or [B, T, C] where
documents with levels of their own lie packed in a row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.attention import Attention
from biotrain.layers.feed_forward import Plain
from biotrain.layers.scene import Scene
from biotrain.models.config import ModelConfig
from biotrain.models.diffusion_config import FREQUENCIES

TIME_SCALE = 1000.0
"""DiT counts time in 1000 steps; ours runs from 0 to 1."""

LONGEST = 10_000.0
"""Longest period of the waves, in steps."""


class TimeEmbedding(nn.Module):
    """A noise level to a condition: waves of 128 frequencies, then two layers with SiLU between."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        self.up = nn.Linear(FREQUENCIES, condition)
        self.out = nn.Linear(condition, condition)

    def forward(self, times: Tensor) -> Tensor:
        """Times [..] from 0 (clean) to 1 (noise) to [.., C]."""
        return self.out(F.silu(self.up(waves(times))))


def waves(times: Tensor) -> Tensor:
    """cos and sin of 1000 t x 10000^(-i / 128), i = 0..127, float32; [..] to [.., 256].

    >>> waves(torch.zeros(2)).sum(-1).tolist()
    [128.0, 128.0]
    """
    half = FREQUENCIES // 2
    steps = torch.arange(half, dtype=torch.float32, device=times.device) / half
    angles = TIME_SCALE * times.float()[..., None] * torch.exp(-math.log(LONGEST) * steps)
    return torch.cat((angles.cos(), angles.sin()), -1)


class AdaBlock(nn.Module):
    """One block; the identity at its start.

    Args:
        config: shape.
        condition: C.
        bias: whether attention's layers have one.
        affine: whether the norms have weights of their own beside the condition's.
    """

    def __init__(self, config: ModelConfig, *, condition: int, bias: bool, affine: bool) -> None:
        super().__init__()
        self.norm1 = _norm(config, affine)
        self.attention = Attention(config, bias=bias)
        self.norm2 = _norm(config, affine)
        self.mlp = Plain(config, bias=True, activation="gelu_tanh")
        self.modulation = nn.Linear(condition, 6 * config.width)
        self.dropout = config.dropout

    def forward(self, x: Tensor, scene: Scene, layer: int, condition: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]; `condition` after its SiLU."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, -1)
        y = self.attention(modulate(self.norm1(x), shift1, scale1), scene, layer)
        x = x + gate1 * self._drop(y)
        y = self.mlp(modulate(self.norm2(x), shift2, scale2), scene)
        return x + gate2 * self._drop(y)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


class AdaNorm(nn.Module):
    """The last norm, shifted and scaled by the condition."""

    def __init__(self, config: ModelConfig, *, condition: int, affine: bool) -> None:
        super().__init__()
        self.norm = _norm(config, affine)
        self.modulation = nn.Linear(condition, 2 * config.width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]; `condition` after its SiLU."""
        return modulate(self.norm(x), *self.modulation(condition).chunk(2, -1))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) x + shift.

    Args:
        x: any shape that ends in D.
        shift: broadcast against `x`.
        scale: broadcast against `x`; 0 changes nothing.
    """
    return x * (1 + scale) + shift


def start_weights(model: nn.Module, *, std: float, zero: tuple[str, ...], generator: torch.Generator) -> None:
    """Normal matrices, biases 0, norms 1, and zeros in every modulation and under the names in `zero`.

    Args:
        model: to fill.
        std: standard deviation of the matrices.
        zero: beginnings of further names that start at zero, such as the output layer's.
        generator: of the weights.
    """
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim < 2:
                p.fill_(0.0 if name.endswith("bias") else 1.0)
            elif "modulation." in name or name.startswith(zero):
                p.zero_()
            else:
                p.normal_(0.0, std, generator=generator)


def _norm(config: ModelConfig, affine: bool) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.norm_eps, elementwise_affine=affine, bias=False)
