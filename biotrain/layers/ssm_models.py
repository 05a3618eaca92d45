"""Language models of state-space layers: the transformer's frame with other blocks."""

from __future__ import annotations

import torch
from torch import nn

from biotrain.layers.cache import States
from biotrain.layers.ssm import MambaMixer, SsmBlock
from biotrain.layers.transformer import Transformer


class Mamba(Transformer):
    """Mamba-1; embeddings, norm and head as in a transformer."""

    def make_block(self, layer: int) -> nn.Module:
        """One Mamba layer, and a gated feed-forward layer where the configuration has one."""
        return SsmBlock(self.config, MambaMixer(self.config))

    def new_cache(self, rows: int, length: int) -> States:
        """The last inputs of each convolution and the states, whose size no length changes."""
        return States(self.config.layers)

    def init_weights(self, generator: torch.Generator) -> None:
        """As a transformer, but for the Mamba layers, which start as their papers say."""
        super().init_weights(generator)
        for module in self.modules():
            if isinstance(module, MambaMixer):
                module.init_weights(generator)
