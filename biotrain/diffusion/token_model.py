"""The diffusion transformer over tokens.

Its noise level is the share of `<mask>` among the tokens that can be hidden, read off the ids themselves:
under absorbing noise with a log-linear schedule that share is the time
(`biotrain.objectives.masked_diffusion` hides exactly t n of n tokens). So training, validation, sampling and
the exported model need no second input and cannot disagree about it.

Shapes: B rows, T tokens, D width, C width of the condition, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biodata.tokenizers.special import MASK, SPECIAL_TOKENS
from biotrain.layers.adaln import AdaBlock, AdaNorm, TimeEmbedding, start_weights
from biotrain.layers.scene import make_scene
from biotrain.models.config import ModelConfig


class Dit(nn.Module):
    """Blocks with adaptive norms between an embedding and an output layer (MDLM's backbone,
    arXiv:2406.07524, after arXiv:2212.09748); sees both sides."""

    causal = False

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        assert config.dit is not None
        condition = config.dit.condition
        self.config, self.vocab_size = config, vocab_size
        self.tokens = nn.Embedding(vocab_size, config.width)
        if config.position == "learned":
            self.positions = nn.Embedding(config.context, config.width)
        self.time = TimeEmbedding(condition)
        self.blocks = nn.ModuleList(
            AdaBlock(config, condition=condition, bias=False, affine=True) for _ in range(config.layers)
        )
        self.norm = AdaNorm(config, condition=condition, affine=True)
        self.head = nn.Linear(config.width, vocab_size)
        if config.tie_embeddings:
            self.head.weight = self.tokens.weight

    def init_weights(self, generator: torch.Generator) -> None:
        """Normal weights; zero in every modulation and in an output layer that is not tied."""
        start_weights(self, std=self.config.init_std, zero=("head.",), generator=generator)

    def new_routing(self) -> None:
        """There are no routers."""

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        cache: None = None,
        routing: None = None,
    ) -> Tensor:
        """Final hidden states after the last norm. See `Transformer.hidden` for the arguments.

        Returns:
            [B, T, D]; what stands at padded positions has no meaning.

        Raises:
            ConfigError: more tokens than the model's context.
        """
        if ids.shape[1] > self.config.context:
            raise ConfigError(
                f"{ids.shape[1]} tokens are more than the model's context of {self.config.context}"
            )
        assert cache is None, "a model that sees both sides has no cache"
        scene = make_scene(self.config, ids, mask=mask, documents=documents, cache=None, routing=routing)
        condition = F.silu(self.time(noise_level(ids, mask, documents)))
        x = self.tokens(ids)
        if self.config.position == "learned":
            x = x + self.positions(scene.places)
        if self.training and self.config.dropout:
            x = F.dropout(x, self.config.dropout)
        for layer, block in enumerate(self.blocks):
            x = block(x, scene, layer, condition)
        return self.norm(x, condition)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states [.., D] to logits [.., V]."""
        return self.head(x)

    def forward(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        rows: Tensor | None = None,
        documents: Tensor | None = None,
        cache: None = None,
        routing: None = None,
    ) -> Tensor:
        """Logits [B, T, V], or [N, V] for the N positions of `rows`; see `Transformer.forward`."""
        x = self.hidden(ids, mask, documents=documents, cache=cache, routing=routing)
        if rows is not None:
            x = x.flatten(0, 1).index_select(0, rows.flatten().nonzero().squeeze(1))
        return self.logits(x)


def noise_level(ids: Tensor, mask: Tensor | None = None, documents: Tensor | None = None) -> Tensor:
    """Share of `<mask>` among the tokens that are hidden or could be, which special ones cannot.

    Args:
        ids: [B, T].
        mask: [B, T], True at real tokens; `None` when nothing is padded.
        documents: [B, T] numbers of packed documents, each of which has a share of its own.

    Returns:
        [B, 1], or [B, T] with documents; from 0 to 1, and 0 where nothing can be hidden.

    >>> noise_level(torch.tensor([[1, 4, 8, 4, 2]])).tolist()
    [[0.6666666865348816]]
    """
    hidden = ids == MASK
    able = hidden | (ids >= len(SPECIAL_TOKENS))
    if mask is not None:
        hidden, able = hidden & mask, able & mask
    both = torch.stack((hidden, able)).float()
    if documents is None:
        sums = both.sum(-1, keepdim=True)
    else:
        begins = torch.ones_like(documents, dtype=torch.bool)
        begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
        number = (begins.long().cumsum(1) - 1).expand_as(both)
        sums = torch.zeros_like(both).scatter_add_(-1, number, both).gather(-1, number)
    return sums[0] / sums[1].clamp(min=1)
