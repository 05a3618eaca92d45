"""Sequences as the numbers that image diffusion learns, and back.

Shapes: B sequences, L letters, K channels, S pixels of a side. Letters are codes: A 0, C 1, G 2, T 3, else 4.
"""

from __future__ import annotations

import numpy as np

from biodata.chaos_game import fcgr, kmer_rows
from biodata.color_square import color_square
from biotrain.models.diffusion_config import ImageConfig


def draw(codes: np.ndarray, image: ImageConfig) -> np.ndarray:
    """Pictures of letters, float32 [B, K, S, S] around 0.

    `fcgr`: ln((1 + r) / 2) with r the count of a k-mer over the count expected if all were alike, k = log2 S:
    0 where a k-mer is as frequent as that, -0.69 where it never comes. `color_square`: 1 in the channel of a
    cell's letter, -1 elsewhere.

    Args:
        codes: uint8 [B, L]; shorter rows end in 4.
        image: which picture.
    """
    if image.picture == "color_square":
        cells = color_square(codes, image.side)[:, None]
        return np.where(cells == np.arange(4)[:, None, None], np.float32(1), np.float32(-1))
    k = image.side.bit_length() - 1
    counts = kmer_rows(codes, k)
    expected = np.maximum(counts.sum(1, keepdims=True), 1) / counts.shape[1]
    return fcgr(np.log((1 + counts / expected) / 2).astype(np.float32))[:, None]


def read_fcgr(pictures: np.ndarray) -> np.ndarray:
    """Frequencies from pictures [B, 1, S, S]: float32 [B, S, S], 0 or more, sum 1 unless all are 0."""
    ratio = np.maximum(2 * np.exp(pictures[:, 0].astype(np.float64)) - 1, 0)
    total = ratio.sum(axis=(1, 2), keepdims=True)
    return (ratio / np.where(total > 0, total, 1)).astype(np.float32)


def read_square(pictures: np.ndarray) -> np.ndarray:
    """Cells from pictures [B, 4, S, S]: uint8 [B, S, S], the channel that is largest, white where none is
    over 0."""
    best = pictures.argmax(axis=1).astype(np.uint8)
    return np.where(pictures.max(axis=1) > 0, best, np.uint8(4))
