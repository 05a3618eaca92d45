"""Where a token stands: rotary embedding, ALiBi, relative biases, places inside packed documents.

Shapes: B sequences, T tokens, H heads, d width of a head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

RELATIVE_BUCKETS, RELATIVE_FARTHEST = 32, 128
"""Kinds of distance that have a bias of their own, and from where on all are alike (T5's)."""


class Rope(NamedTuple):
    """Cosines and sines by which queries and keys turn, [T, 1, d] or [B, T, 1, d], float32."""

    cos: Tensor
    sin: Tensor


def rope_table(places: Tensor, *, width: int, base: float) -> Rope:
    """Rotary embedding (arXiv:2104.09864) in the half-split form of GPT-NeoX and Llama: dimension i turns
    with i + d / 2, by the angle place x base^(-2 i / d).

    Args:
        places: [T] or [B, T].
        width: d, even.
        base: of the wavelengths.
    """
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=places.device) / width
    angles = places.float()[..., None] / base**steps
    angles = torch.cat((angles, angles), -1)[..., None, :]
    return Rope(angles.cos(), angles.sin())


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Turns [B, T, H, d], computing in float32."""
    first, second = x.chunk(2, -1)
    return (x * rope.cos + torch.cat((-second, first), -1) * rope.sin).to(x.dtype)


def alibi_slopes(heads: int) -> list[float]:
    """Slopes of ALiBi (Press et al., arXiv:2108.12409): 2^(-8 i / p) for i = 1..p, the largest power of two
    p that is at most `heads`; for the other heads every second slope of 2 p heads.

    >>> alibi_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> alibi_slopes(6)[4:]
    [0.5, 0.125]
    """
    power = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    return slopes + [2 ** (-4 * (2 * j - 1) / power) for j in range(1, heads - power + 1)]


def alibi_bias(places: Tensor, *, heads: int, new: int) -> Tensor:
    """-slope x distance, to both sides: [H, new, T] for the last `new` of T places, float32.

    Args:
        places: [T].
        heads: H.
        new: queries.
    """
    slopes = torch.tensor(alibi_slopes(heads), device=places.device)
    distance = (places[-new:, None] - places).abs()
    return -slopes[:, None, None] * distance


def relative_buckets(distance: Tensor) -> Tensor:
    """T5's 32 kinds of distance (Raffel et al., arXiv:1910.10683, section 2.1), 16 to either side: 0 to 7
    tokens each for itself, then eight of equal ratio up to 128, the last for everything beyond.

    Args:
        distance: place of the key less place of the query, any shape.

    >>> relative_buckets(torch.tensor([-200, -8, -1, 0, 1, 7, 8, 127])).tolist()
    [15, 8, 1, 0, 17, 23, 24, 31]
    """
    half, near = RELATIVE_BUCKETS // 2, RELATIVE_BUCKETS // 4
    size = distance.abs()
    ratio = torch.log(size.clamp(min=1).double() / near) / math.log(RELATIVE_FARTHEST / near)
    far = (near + (ratio * (half - near)).long()).clamp(max=half - 1)
    return torch.where(size < near, size, far) + half * (distance > 0)


def relative_bias(places: Tensor, table: Tensor) -> Tensor:
    """A learned number for each kind of distance and head: [H, T, T].

    Args:
        places: [T].
        table: [RELATIVE_BUCKETS, H].
    """
    return table[relative_buckets(places - places[:, None])].permute(2, 0, 1)


def places_in_documents(documents: Tensor) -> Tensor:
    """Place of each token in its own document.

    Args:
        documents: [B, T] numbers, equal for neighbours of one document.

    >>> places_in_documents(torch.tensor([[0, 0, 0, 1, 1]]))
    tensor([[0, 1, 2, 0, 1]])
    """
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - index.masked_fill(~starts, 0).cummax(1).values
