"""Multi-head attention with one fused projection; grouped keys, rotary positions, caches, documents.

Shapes: B sequences, T tokens, D width, H heads, G heads of keys and values, d = D / H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.cpu_attention import Layout
from biotrain.layers.kernels import causal_attention, linear, merge_heads, serves_attention, use_kernels
from biotrain.layers.positions import rotate
from biotrain.layers.scene import Scene
from biotrain.layers.spans import Spans, attention_in_spans
from biotrain.models.config import ModelConfig
from biotrain.mup import attention_scale


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d) + bias) v; `qkv` gives the queries of all heads, then keys, then values."""

    def __init__(self, config: ModelConfig, *, bias: bool) -> None:
        super().__init__()
        self.heads, self.groups, self.width = config.heads, config.key_heads, config.head_width
        self.dropout, self.scale = config.attention_drop, attention_scale(config)
        self.qkv = nn.Linear(config.width, (self.heads + 2 * self.groups) * self.width, bias=bias)
        self.out = nn.Linear(config.width, config.width, bias=bias)

    def forward(self, x: Tensor, scene: Scene, layer: int) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        dropout = self.dropout if self.training else 0.0
        if scene.is_causal and scene.cache is None and use_kernels(x):
            layout = self._layout(x, scene.spans)
            if serves_attention(x, layout, dropout):
                return linear(causal_attention(x, self.qkv, layout, scene.rope), self.out)
        qkv = linear(x, self.qkv)
        if scene.spans is not None:
            return linear(self.apart(qkv, scene, scene.spans), self.out)
        q, k, v = self._heads(qkv, scene)
        if scene.cache is not None:
            k, v = scene.cache.append(layer, k, v)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if scene.bias is None else _typed(scene.bias, q),
            dropout_p=dropout,
            is_causal=scene.is_causal and q.shape[2] > 1,
            scale=self.scale,
            enable_gqa=self.groups != self.heads,
        )
        return linear(merge_heads(y), self.out)

    def apart(self, qkv: Tensor, scene: Scene, spans: Spans) -> Tensor:
        """Packed documents, each by itself.

        Args:
            qkv: queries, keys and values [B, T, (H + 2 G) d].
            scene: where tokens stand.
            spans: where documents begin and end.

        Returns:
            [B, T, D].
        """
        dropout = self.dropout if self.training else 0.0
        q, k, v = (x.transpose(1, 2) for x in self._heads(qkv, scene))
        return attention_in_spans(q, k, v, spans, dropout=dropout, scale=self.scale)

    def _layout(self, x: Tensor, spans: Spans | None) -> Layout:
        scale = self.width**-0.5 if self.scale is None else self.scale
        sizes = [x.shape[1]] * len(x) if spans is None else spans.sizes
        return Layout(self.heads, self.groups, scale, sizes)

    def _heads(self, qkv: Tensor, scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, d], keys and values [B, G, T, d], turned to their places."""
        b, t, _ = qkv.shape
        parts = qkv.view(b, t, self.heads + 2 * self.groups, self.width)
        if scene.rope is None:
            q, k, v = parts.split((self.heads, self.groups, self.groups), 2)
        else:
            turned, v = parts.split((self.heads + self.groups, self.groups), 2)
            q, k = rotate(turned, scene.rope).split((self.heads, self.groups), 2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def _typed(bias: Tensor, q: Tensor) -> Tensor:
    return bias if bias.dtype == torch.bool else bias.to(q.dtype)
