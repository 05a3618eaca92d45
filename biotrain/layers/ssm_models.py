"""Language models of state-space layers: the transformer's frame with other blocks.

Shapes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biotrain.layers.cache import Cache, States
from biotrain.layers.routing import Routing
from biotrain.layers.scene import Scene
from biotrain.layers.ssm import MambaMixer, SsmBlock, TwoWayMixer
from biotrain.layers.ssm2 import Mamba2Mixer
from biotrain.layers.ssm_flow import flow_of
from biotrain.layers.transformer import Transformer
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import ssm_of


class Mamba(Transformer):
    """Mamba-1; embeddings, norm and head as in a transformer."""

    def make_block(self, layer: int) -> nn.Module:
        """One Mamba layer, and a gated feed-forward layer where the configuration has one."""
        return SsmBlock(self.config, MambaMixer(self.config))

    @property
    def bounded(self) -> bool:
        """Only a table of positions ends; a state goes on."""
        return self.config.position == "learned"

    def new_cache(self, rows: int, length: int) -> States:
        """The last inputs of each convolution and the states, whose size no length changes."""
        return States(self.config.layers)

    def init_weights(self, generator: torch.Generator) -> None:
        """As a transformer, but for the Mamba layers, which start as their papers say."""
        super().init_weights(generator)
        for module in self.modules():
            if isinstance(module, MambaMixer | Mamba2Mixer | TwoWayMixer):
                module.init_weights(generator)


class Mamba2(Mamba):
    """Mamba-2."""

    def make_block(self, layer: int) -> nn.Module:
        """One Mamba-2 layer, and a gated feed-forward layer where the configuration has one."""
        return SsmBlock(self.config, Mamba2Mixer(self.config))


class TwoBlocks(nn.Module):
    """A layer of HELM's bidirectional Mamba; the formula stands in `biotrain.models.bimamba`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ahead = SsmBlock(config, MambaMixer(config))
        self.back = SsmBlock(config, MambaMixer(config))
        self.join = nn.Linear(2 * config.width, config.width)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        flow = flow_of(scene, layer)
        stream, added = self.ahead.parts(x, scene, flow)
        turned = [part.flip(1) for part in self.back.parts(x.flip(1), scene, flow.turned())]
        return (stream + turned[0]) / 2 + self.join(torch.cat((added, turned[1]), -1))


class BiMamba(Mamba):
    """HELM's bidirectional Mamba."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.gate = nn.Linear(2 * config.width, 1)

    def make_block(self, layer: int) -> nn.Module:
        """A forward and a backward block, joined."""
        return TwoBlocks(self.config)

    def _embed(self, ids: Tensor, scene: Scene) -> Tensor:
        x = super()._embed(ids, scene)
        weight = self.gate.weight[:, : self.config.width]  # the other half meets zeros
        return x * F.linear(x, weight, self.gate.bias).sigmoid()


class Caduceus(Mamba):
    """Caduceus; equivariant, both strands pass as one batch, and what is hidden is twice as wide."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        ssm = ssm_of(config)
        self.both_strands = bool(ssm.equivariant)
        if self.both_strands and len(ssm.complement) != vocab_size:
            raise ConfigError(
                f"model 'caduceus' reads both strands and needs the complement of {vocab_size} tokens, got "
                f"{len(ssm.complement)}: train it with a tokenizer, or take equivariant false"
            )
        complement = torch.tensor(ssm.complement, dtype=torch.long)
        self.register_buffer("complement", complement, persistent=False)

    def make_block(self, layer: int) -> nn.Module:
        """Two cores between the same projections."""
        return SsmBlock(self.config, TwoWayMixer(self.config))

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        cache: Cache | States | None = None,
        routing: Routing | None = None,
    ) -> Tensor:
        """See `Transformer.hidden`; [B, T, 2 D] where both strands are read."""
        if not self.both_strands:
            return super().hidden(ids, mask, documents=documents, cache=cache, routing=routing)
        other = self.get_buffer("complement")[ids].flip(1)
        mask = None if mask is None else torch.cat((mask, mask.flip(1)))
        documents = None if documents is None else torch.cat((documents, documents.flip(1)))
        x, turned = super().hidden(torch.cat((ids, other)), mask, documents=documents, cache=cache).chunk(2)
        return torch.cat((x, turned.flip(1)), -1)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states [.., D], or [.., 2 D] of both strands, to logits [.., V]."""
        if not self.both_strands:
            return super().logits(x)
        here, there = x.chunk(2, -1)
        return super().logits(here) + super().logits(there)[..., self.get_buffer("complement")]
