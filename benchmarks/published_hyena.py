"""HyenaDNA in plain PyTorch, written from its published formulas the way its released code computes them.

Only for timing beside ours: linear layers, `Conv1d` over the transposed sequence, transforms of the whole
batch of twice the length, PyTorch's own derivatives, LayerNorm, GELU (tanh), a residual stream in float32.

Shapes: B sequences, L places, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Sine(nn.Module):
    """sin(frequency x)."""

    def __init__(self, width: int, frequency: float) -> None:
        super().__init__()
        self.frequency = nn.Parameter(frequency * torch.ones(1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)


class Filter(nn.Module):
    """The long filter, and the convolution with it."""

    def __init__(self, width: int, length: int, *, inner: int = 64, features: int = 5) -> None:
        super().__init__()
        t, bands = torch.linspace(0, 1, length)[None, :, None], (features - 1) // 2
        w = 2 * math.pi * torch.linspace(0, length - 1, length)[None, :, None] / length
        z = torch.exp(-1j * torch.linspace(1e-4, bands - 1, bands)[None, None] * w)
        self.register_buffer("z", torch.cat([t, z.real, z.imag], dim=-1))
        self.register_buffer("t", t)
        ends = (math.log(1e-2) / 1.5, math.log(1e-2) / 0.3)
        self.register_buffer("deltas", torch.linspace(*ends, width)[None, None])
        self.bias = nn.Parameter(torch.randn(width))
        sine = Sine(inner, 10.0)
        layers: list[nn.Module] = [nn.Linear(features, inner), sine]
        for _ in range(2):
            layers += [nn.Linear(inner, inner), sine]
        self.network = nn.Sequential(*layers, nn.Linear(inner, width, bias=False))

    def filter(self, length: int) -> Tensor:
        """[length, D]."""
        z, t, deltas = self.get_buffer("z"), self.get_buffer("t"), self.get_buffer("deltas")
        h = self.network(z[:, :length])
        return (h * (torch.exp(-t[:, :length] * deltas.abs()) + 0.05))[0]

    def forward(self, v: Tensor, k: Tensor) -> Tensor:
        """v [B, D, L], k [D, L]."""
        length = v.shape[-1]
        size = 2 * length
        k_f = torch.fft.rfft(k, n=size) / size
        v_f = torch.fft.rfft(v.to(dtype=k.dtype), n=size)
        y = torch.fft.irfft(v_f * k_f, n=size, norm="forward")[..., :length]
        return (y + v * self.bias[:, None]).to(dtype=v.dtype)


class Operator(nn.Module):
    """Order 2."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.width = width
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.short = nn.Conv1d(3 * width, 3 * width, 3, groups=3 * width, padding=2)
        self.filter = Filter(width, length)

    def forward(self, u: Tensor) -> Tensor:
        length = u.shape[1]
        u = self.short(self.in_proj(u).transpose(1, 2))[..., :length]
        x0, x1, v = u.split(self.width, dim=1)
        k = self.filter.filter(length).transpose(0, 1)
        v = self.filter(v * x1, k)
        return self.out_proj((v * x0).transpose(1, 2))


class Block(nn.Module):
    """Pre-norm."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixer = Operator(width, length)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop1, self.drop2 = nn.Dropout(0.0), nn.Dropout(0.0)

    def forward(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        dropped = self.drop1(x)
        residual = dropped if residual is None else dropped + residual
        x = self.mixer(self.norm1(residual.to(dtype=self.norm1.weight.dtype)))
        residual = self.drop2(x) + residual
        x = self.norm2(residual.to(dtype=self.norm2.weight.dtype))
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh")), residual


class PublishedHyena(nn.Module):
    """Causal language model with a tied output layer; ids [B, L] to logits [B, L, V]."""

    def __init__(self, *, layers: int, width: int, length: int, vocab: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, length) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        x, residual = self.embedding(ids), None
        for block in self.blocks:
            x, residual = block(x, residual)
        return self.head(self.norm(x + residual))
