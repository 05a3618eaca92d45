"""Based in plain PyTorch, written from its published formulas the way its released code computes them.

Only for timing beside ours: the feature map expanded to 1 + 16 + 256 numbers, all pairs of tokens by them
(the `quadratic` form), `Conv1d` over the transposed sequence. The window needs a CUDA kernel there; here it
is masked attention over all keys.

Shapes: B sequences, L places, D width, H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TaylorFeatures(nn.Module):
    """1, x / d^(1/4), x x^T / (sqrt(2) sqrt(d))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.root = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        squares = (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(start_dim=-2) / math.sqrt(2)
        return torch.cat([x[..., :1] ** 0, x / math.sqrt(self.root), squares / self.root], dim=-1)


class LinearAttention(nn.Module):
    """All pairs, by features."""

    def __init__(self, width: int, heads: int, *, features: int = 16) -> None:
        super().__init__()
        self.heads, self.map = heads, TaylorFeatures(features)
        self.proj_q = nn.Linear(width, features * heads, bias=False)
        self.proj_k = nn.Linear(width, features * heads, bias=False)
        self.proj_v, self.out_proj = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj in (self.proj_q, self.proj_k, self.proj_v)
        )
        q, k = self.map(q), self.map(k)
        weights = torch.tril(torch.einsum("bhnd,bhmd->bhnm", q, k))
        y = torch.einsum("bhnm,bhme->bhne", weights, v)
        z = 1 / (torch.einsum("bhld,bhld->bhl", q, k.cumsum(2)) + 1e-12)
        return self.out_proj((y * z[..., None]).transpose(1, 2).flatten(2))


class Window(nn.Module):
    """Softmax attention to the nearest 64 tokens."""

    def __init__(self, width: int, heads: int, length: int, *, window: int = 64) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out_proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        seen = torch.ones(length, length, dtype=torch.bool).tril().triu(1 - window)
        self.register_buffer("seen", seen)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.get_buffer("seen"))
        return self.out_proj(y.transpose(1, 2).flatten(2))


class BaseConv(nn.Module):
    """Gated short convolution."""

    def __init__(self, width: int, *, expand: int = 4) -> None:
        super().__init__()
        inner = expand * width // 2
        self.inner = inner
        self.in_proj, self.out_proj = (
            nn.Linear(width, 2 * inner, bias=False),
            nn.Linear(inner, width, bias=False),
        )
        self.conv = nn.Conv1d(inner, inner, 3, groups=inner, padding=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first, second = torch.split(self.in_proj(x), self.inner, dim=-1)
        y = self.conv(first.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        return self.out_proj(F.silu(y) * second)


class Block(nn.Module):
    """Pre-norm, SwiGLU."""

    def __init__(self, width: int, mixer: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mixer = nn.RMSNorm(width), nn.RMSNorm(width), mixer
        self.fc1, self.fc2 = nn.Linear(width, 4 * width, bias=False), nn.Linear(2 * width, width, bias=False)
        self.drop1, self.drop2 = nn.Dropout(0.0), nn.Dropout(0.0)

    def forward(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        dropped = self.drop1(x)
        residual = dropped if residual is None else dropped + residual
        residual = self.drop2(self.mixer(self.norm1(residual))) + residual
        y, gate = self.fc1(self.norm2(residual)).chunk(2, dim=-1)
        return self.fc2(y * F.silu(gate)), residual


class PublishedBased(nn.Module):
    """Causal language model with a tied output layer; ids [B, L] to logits [B, L, V]."""

    def __init__(self, *, layers: int, width: int, heads: int, length: int, vocab: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        mixers = {1: lambda: LinearAttention(width, heads), 2: lambda: Window(width, heads, length)}
        make = [mixers.get(i % 5, lambda: BaseConv(width)) for i in range(layers)]
        self.blocks = nn.ModuleList(Block(width, one()) for one in make)
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, vocab, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        x, residual = self.embedding(ids), None
        for block in self.blocks:
            x, residual = block(x, residual)
        return self.head(self.norm(x + residual))
