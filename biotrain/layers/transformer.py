"""The transformer: embeddings, blocks, output layer, in the style of its architecture.

Shapes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biotrain.layers.attention import Attention
from biotrain.layers.cache import Cache, States
from biotrain.layers.feed_forward import ACTIVATIONS, build_feed_forward
from biotrain.layers.mixer_block import MixerBlock, make_norm
from biotrain.layers.routing import Routing
from biotrain.layers.scene import Scene, make_scene
from biotrain.models.architecture import Style
from biotrain.models.config import ModelConfig
from biotrain.mup import output_scale


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)); or, in post-norm, norm(x + layer(x)) twice."""

    def __init__(self, config: ModelConfig, style: Style) -> None:
        super().__init__()
        self.norm1 = make_norm(config, style)
        self.attention = Attention(config, bias=style.bias)
        self.norm2 = make_norm(config, style)
        self.mlp = build_feed_forward(config)
        self.dropout, self.post_norm = config.dropout, style.post_norm

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if self.post_norm:
            x = self.norm1(x + self._drop(self.attention(x, scene, layer)))
            return self.norm2(x + self._drop(self.mlp(x, scene)))
        x = x + self._drop(self.attention(self.norm1(x), scene, layer))
        return x + self._drop(self.mlp(self.norm2(x), scene))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


class Transformer(nn.Module):
    """Every transformer of `MODELS`; what sets one apart stands in its architecture's style.

    Models whose blocks mix tokens otherwise are made by `make_block` and `new_cache` of their own.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        style = config.architecture.style
        assert style is not None
        self.config, self.vocab_size = config, vocab_size
        self.post_norm, self.output_scale = style.post_norm, output_scale(config)
        self.make_embedding()
        self.blocks = nn.ModuleList(self.make_block(layer) for layer in range(config.layers))
        self.make_head(style)

    def make_embedding(self) -> None:
        """Tables of tokens and, where they are learned, positions."""
        self.tokens = nn.Embedding(self.vocab_size, self.config.width)
        if self.config.position == "learned":
            self.positions = nn.Embedding(self.config.context, self.config.width)

    def make_head(self, style: Style) -> None:
        """The norm outside the blocks and the output layer."""
        config = self.config
        self.norm = make_norm(config, style)
        if style.post_norm:
            self.transform = nn.Linear(config.width, config.width)
            self.transform_norm = make_norm(config, style)
        self.head = nn.Linear(config.width, self.vocab_size, bias=style.post_norm)
        if config.tie_embeddings:
            self.head.weight = self.tokens.weight

    def make_block(self, layer: int) -> nn.Module:
        """Block number `layer`, from 0; called with the hidden states, the scene and its number."""
        style = self.config.architecture.style
        assert style is not None
        return Block(self.config, style)

    @property
    def causal(self) -> bool:
        """Whether a position is blind to what comes after it."""
        return not self.config.bidirectional

    @property
    def relative_table(self) -> Tensor | None:
        """Relative biases [RELATIVE_BUCKETS, H] of a model with such positions."""
        return None

    @property
    def bounded(self) -> bool:
        """Whether more tokens than the context cannot be read."""
        return True

    def init_weights(self, generator: torch.Generator) -> None:
        """GPT-2's start: normal weights, the two projections into the residual stream smaller by
        sqrt(2 x layers) unless a norm follows their sum, biases 0, norms 1."""
        std = self.config.init_std
        residual = std / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, p in self.named_parameters():
                if p.ndim >= 2:
                    small = name.endswith(
                        ("attention.out.weight", "mixer.out.weight", "mlp.down.weight", "mlp.down")
                    )
                    p.normal_(0.0, residual if small and not self.post_norm else std, generator=generator)
                elif name.endswith("bias"):
                    p.zero_()
                else:
                    p.fill_(1.0)
        for block in self.blocks:
            if isinstance(block, MixerBlock):
                block.mixer.init_weights(generator)

    def new_cache(self, rows: int, length: int) -> Cache | States:
        """Room for generating.

        Args:
            rows: sequences.
            length: most tokens of one.
        """
        c = self.config
        return Cache((c.layers, rows, c.key_heads, length, c.head_width), like=self.tokens.weight)

    def new_routing(self) -> Routing | None:
        """A record for `routing` of a forward pass; `None` where no router is."""
        return Routing() if self.config.moe else None

    def hidden(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        cache: Cache | States | None = None,
        routing: Routing | None = None,
    ) -> Tensor:
        """Final hidden states after the last norm.

        Args:
            ids: [B, T] token ids, padded on the right.
            mask: [B, T], True at real tokens; `None` when nothing is padded. Attention of a causal model
                needs none.
            documents: [B, T] numbers of the documents packed into a row, equal within one: none sees another,
                and places start again in each.
            cache: what is remembered of what came before (causal only); this call's is added to it.
            routing: filled with what the routers do.

        Returns:
            [B, T, D]; what stands at padded positions has no meaning.

        Raises:
            ConfigError: more tokens than the model's context.
        """
        stop = ids.shape[1] + (0 if cache is None else cache.length)
        if stop > self.config.context and self.bounded:
            raise ConfigError(f"{stop} tokens are more than the model's context of {self.config.context}")
        scene = make_scene(
            self.config, ids, mask=mask, documents=documents, cache=cache, routing=routing,
            table=self.relative_table,
        )  # fmt: skip
        x = self._embed(ids, scene)
        for layer, block in enumerate(self.blocks):
            x = block(x, scene, layer)
        if cache is not None:
            cache.length = stop
        return x if self.post_norm else self.norm(x)

    def _embed(self, ids: Tensor, scene: Scene) -> Tensor:
        x = self.tokens(ids)
        if self.config.position == "learned":
            table, places, remembered = self.positions.weight, scene.places, scene.cache or scene.states
            start = 0 if remembered is None else remembered.length
            x = x + (table[start : start + ids.shape[1]] if places.ndim == 1 else table[places])
        if self.post_norm:
            x = self.norm(x)
        return F.dropout(x, self.config.dropout) if self.training and self.config.dropout else x

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states [.., D] to logits [.., V]."""
        if self.post_norm:
            x = self.transform_norm(ACTIVATIONS[self.config.activation or "gelu"](self.transform(x)))
        return self.head(x if self.output_scale == 1 else x * self.output_scale)

    def forward(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        rows: Tensor | None = None,
        documents: Tensor | None = None,
        cache: Cache | States | None = None,
        routing: Routing | None = None,
    ) -> Tensor:
        """Logits.

        Args:
            ids: [B, T] token ids, padded on the right.
            mask: [B, T], True at real tokens; `None` when nothing is padded.
            rows: [B, T], True where logits are wanted; saves the output layer elsewhere.
            documents: see `hidden`, as `cache` and `routing`.
            cache: as above.
            routing: as above.

        Returns:
            [B, T, V], or [N, V] for the N positions of `rows` in reading order.
        """
        x = self.hidden(ids, mask, documents=documents, cache=cache, routing=routing)
        if rows is not None:
            # the backward pass of x[rows] is slower, and on a GPU its forward pass waits
            x = x.flatten(0, 1).index_select(0, rows.flatten().nonzero().squeeze(1))
        return self.logits(x)
