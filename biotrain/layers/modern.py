"""ModernBERT's attention, local in most layers, and the model around it.

Shapes: B sequences, T tokens, N documents, L tokens of the longest, D width, H heads, e width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.kernels import linear, merge_heads
from biotrain.layers.mixer_block import Mixer, MixerBlock, make_norm, mix_apart
from biotrain.layers.positions import rope_table, rotate
from biotrain.layers.scene import Scene
from biotrain.layers.transformer import Transformer
from biotrain.layers.window_attention import window_attention
from biotrain.models.architecture import Style
from biotrain.models.config import ModelConfig
from biotrain.models.modern_config import ModernConfig


class ModernAttention(Mixer):
    """Attention to all tokens, or to the nearest with wavelengths of their own."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        modern = _modern(config)
        self.heads, self.width, self.dropout = config.heads, config.head_width, config.attention_drop
        is_local = layer % modern.global_every > 0
        self.window = modern.local_attention // 2 + 1 if is_local else None
        self.base = modern.local_rope_base
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        rope = scene.rope
        if self.window is not None:
            rope = rope_table(scene.places, width=self.width, base=self.base)
        assert rope is not None
        turned, v = linear(x, self.qkv).unflatten(-1, (3 * self.heads, -1)).tensor_split([2 * self.heads], 2)
        u = torch.cat((rotate(turned, rope), v), 2).flatten(2)
        return linear(mix_apart(u, scene, self._mix), self.out)

    def _mix(self, u: Tensor, real: Tensor | None) -> Tensor:
        """Queries, keys and values [N, L, 3 D] to [N, L, D], each row by itself."""
        q, k, v = u.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        if self.window is not None:
            y = window_attention(q, k, v, window=self.window, real=real, causal=False, dropout=dropout)
        else:
            # a row of padding alone sees itself, or its softmax would be over nothing
            seen = None if real is None else (real | ~real.any(1, keepdim=True))[:, None, None]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)
        return merge_heads(y)


class ModernBert(Transformer):
    """A norm after the embedding instead of before the first attention, and BERT's larger head."""

    def make_embedding(self) -> None:
        """Tokens and a norm."""
        style = self.config.architecture.style
        assert style is not None
        super().make_embedding()
        self.embedding_norm = make_norm(self.config, style)

    def make_block(self, layer: int) -> nn.Module:
        """Block number `layer`; the first has no norm before its attention."""
        style = self.config.architecture.style
        assert style is not None
        block = MixerBlock(self.config, style, ModernAttention(self.config, layer))
        if layer == 0:
            block.norm1 = nn.Identity()
        return block

    def make_head(self, style: Style) -> None:
        """The last norm, a layer with a norm, and the output layer."""
        width = self.config.width
        self.norm = make_norm(self.config, style)
        self.transform = nn.Linear(width, width, bias=False)
        self.transform_norm = make_norm(self.config, style)
        self.head = nn.Linear(width, self.vocab_size)
        if self.config.tie_embeddings:
            self.head.weight = self.tokens.weight

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states [.., D] to logits [.., V]."""
        return self.head(self.transform_norm(F.gelu(self.transform(x))))

    def _embed(self, ids: Tensor, scene: Scene) -> Tensor:
        x = self.embedding_norm(self.tokens(ids))
        return F.dropout(x, self.config.dropout) if self.training and self.config.dropout else x


def _modern(config: ModelConfig) -> ModernConfig:
    assert config.modern is not None
    return config.modern
