"""The pre-norm transformer stack of GPT-2 with learned positions.

Shapes: B sequences, T tokens, D width, H heads, F inner width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biotrain.layers.cache import Cache
from biotrain.layers.kernels import causal_attention, feed_forward, linear, merge_heads, split_heads
from biotrain.models.config import ModelConfig


class Attention(nn.Module):
    """Multi-head attention with one fused projection for query, key and value."""

    def __init__(self, config: ModelConfig, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout = config.heads, causal, config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]; `mask` [B, 1, 1, T] is True where a key may be seen."""
        qkv = linear(x, self.qkv)
        dropout = self.dropout if self.training else 0.0
        if self.causal and cache is None:
            return linear(causal_attention(qkv, self.heads, dropout), self.out)
        q, k, v = split_heads(qkv, self.heads)
        if cache is not None:
            k, v = cache.append(layer, k, v)
            mask = cache.mask(x.shape[1])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return linear(merge_heads(y), self.out)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)), the latter with tanh-approximated GELU."""

    def __init__(self, config: ModelConfig, *, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.attention = Attention(config, causal=causal)
        self.norm2 = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.up = nn.Linear(config.width, config.ffn)
        self.down = nn.Linear(config.ffn, config.width)
        self.dropout = config.dropout

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        x = x + self._drop(self.attention(self.norm1(x), mask, cache, layer))
        return x + self._drop(feed_forward(self.norm2(x), self.up, self.down))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


class Transformer(nn.Module):
    """Token and position embeddings, blocks, final norm, output layer.

    Subclasses say by `causal` whether a position sees what comes after it.
    """

    causal: bool

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.tokens = nn.Embedding(vocab_size, config.width)
        self.positions = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config, causal=self.causal) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.width, vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.tokens.weight

    def init_weights(self, generator: torch.Generator) -> None:
        """GPT-2's start: normal weights, the two projections into the residual stream smaller by
        sqrt(2 x layers), biases 0, norms 1."""
        std = self.config.init_std
        residual = std / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, p in self.named_parameters():
                if p.ndim == 2:
                    small = name.endswith(("attention.out.weight", "down.weight"))
                    p.normal_(0.0, residual if small else std, generator=generator)
                elif name.endswith("bias"):
                    p.zero_()
                else:
                    p.fill_(1.0)

    def hidden(self, ids: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """Final hidden states after the last norm.

        Args:
            ids: [B, T] token ids, padded on the right.
            mask: [B, T], True at real tokens; `None` when nothing is padded. A causal model needs none.
            cache: keys and values of what came before (causal only); this call's are added to it.

        Returns:
            [B, T, D]; what stands at padded positions has no meaning.

        Raises:
            ConfigError: more tokens than the model has positions.
        """
        start = 0 if cache is None else cache.length
        stop = start + ids.shape[1]
        if stop > self.config.context:
            raise ConfigError(f"{stop} tokens are more than the model's context of {self.config.context}")
        x = self.tokens(ids) + self.positions.weight[start:stop]
        if self.training and self.config.dropout:
            x = F.dropout(x, self.config.dropout)
        keys = None if mask is None or self.causal else mask[:, None, None, :]
        for layer, block in enumerate(self.blocks):
            x = block(x, keys, cache, layer)
        if cache is not None:
            cache.length = stop
        return self.norm(x)

    def forward(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        rows: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Logits.

        Args:
            ids: [B, T] token ids, padded on the right.
            mask: [B, T], True at real tokens; `None` when nothing is padded.
            rows: [B, T], True where logits are wanted; saves the output layer elsewhere.
            cache: see `hidden`.

        Returns:
            [B, T, V], or [N, V] for the N positions of `rows` in reading order.
        """
        x = self.hidden(ids, mask, cache=cache)
        if rows is not None:
            # the backward pass of x[rows] is slower, and on a GPU its forward pass waits
            x = x.flatten(0, 1).index_select(0, rows.flatten().nonzero().squeeze(1))
        return self.head(x)
