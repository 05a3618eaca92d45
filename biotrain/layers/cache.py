"""What generation remembers of the tokens read so far, so that it reads each one once."""

from __future__ import annotations

import torch
from torch import Tensor


class Cache:
    """Room for the keys and values of every layer.

    Args:
        shape: (layers, B sequences, G heads of keys, T tokens at most, width of a head).
        like: a tensor whose dtype and device are taken.
    """

    def __init__(self, shape: tuple[int, int, int, int, int], like: Tensor) -> None:
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores [B, G, t, d] after what is there and returns everything so far [B, G, length + t, d].

        Args:
            layer: number of the layer, 0-based.
            k: keys `[B, G, t, d]`.
            v: values `[B, G, t, d]`.
        """
        stop = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : stop] = k
        self.values[layer, :, :, self.length : stop] = v
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def keep(self, rows: Tensor) -> None:
        """Keeps only these sequences, an index or mask over B."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]


class States:
    """What layers that are no attention remember, each by names of its own.

    Args:
        layers: number of layers.

    Attributes:
        of: per layer, name to tensor [B sequences, ...].
        shared: per layer, name to a tensor that is the same for all sequences.
        length: tokens read.
    """

    def __init__(self, layers: int) -> None:
        self.of: list[dict[str, Tensor]] = [{} for _ in range(layers)]
        self.shared: list[dict[str, Tensor]] = [{} for _ in range(layers)]
        self.length = 0

    def keep(self, rows: Tensor) -> None:
        """Keeps only these sequences, an index or mask over B."""
        for state in self.of:
            for name, value in state.items():
                state[name] = value[rows]
