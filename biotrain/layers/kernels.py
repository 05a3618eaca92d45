"""Chooses, for each piece of a block, PyTorch's own operation or the hand-made CPU kernel of the same value.

The kernels of `biotrain.layers.cpu` serve float32 training on the CPU with enough rows; everything else
(a GPU, autocast, inference, small batches, compilation) takes PyTorch's own way. The choice depends on
shapes and settings alone, never on time, so a run repeats bit for bit.

Shapes: B sequences, T tokens, D width, H heads, G heads of keys and values, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers import cpu
from biotrain.layers.cpu_attention import CausalAttention, Layout
from biotrain.layers.cpu_experts import Experts, SwiGLU
from biotrain.layers.positions import Rope

MIN_ROWS = 256
"""Rows B T below which a kernel's fixed cost is not worth it."""

MAX_WEIGHTS = 1 << 24
"""Attention weights B H T T of a layer, above which keeping them costs too much memory (64 MiB)."""

_ALIGNMENT = 16
"""Bytes of which rows must be a multiple for `grouped_mm`."""

_allowed = True


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Inside, every piece is PyTorch's own operation, on a GPU too; for comparisons."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before


def kernels_allowed() -> bool:
    """Whether this is outside of `plain_kernels`."""
    return _allowed


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """A linear layer over the last dimension of [B, T, D]."""
    if not use_kernels(x):
        return layer(x)
    return cpu.Linear.apply(x.reshape(-1, x.shape[-1]), layer.weight, layer.bias).view(*x.shape[:-1], -1)


def feed_forward(x: Tensor, up: nn.Linear, down: nn.Linear, *, exact: bool) -> Tensor:
    """down(gelu(up(x))), exact or with the tanh approximation; [B, T, D] to [B, T, D].

    Args:
        x: `[B, T, D]`.
        up: D to the inner width.
        down: back to D.
        exact: whether GELU is.
    """
    if not use_kernels(x):
        return down(F.gelu(up(x), approximate="none" if exact else "tanh"))
    rows = x.reshape(-1, x.shape[-1])
    return cpu.FeedForward.apply(rows, up.weight, up.bias, down.weight, down.bias, exact).view_as(x)


def rms_norm(x: Tensor, layer: nn.RMSNorm) -> Tensor:
    """x / rms(x) times the layer's weight, of [.., D]."""
    if not use_kernels(x) or layer.eps is None:
        return nn.RMSNorm.forward(layer, x)
    return cpu.RMSNorm.apply(x.reshape(-1, x.shape[-1]), layer.weight, layer.eps).view_as(x)


def serves_attention(x: Tensor, layout: Layout, dropout: float) -> bool:
    """Whether `causal_attention` has a kernel for this.

    Args:
        x: as there.
        layout: as there.
        dropout: share of weights set to 0.
    """
    return use_kernels(x) and dropout == 0 and layout.weights <= MAX_WEIGHTS


def causal_attention(x: Tensor, qkv: nn.Linear, layout: Layout, rope: Rope | None) -> Tensor:
    """softmax(q k^T scale) v over the keys up to the query, within each sequence of the layout.

    Args:
        x: [B, T, D].
        qkv: the layer that gives queries of H heads, keys and values of G.
        layout: sequences that follow on one another in the B T rows.
        rope: by which queries and keys turn.

    Returns:
        [B, T, H d].
    """
    weight, bias, turn = qkv.weight, qkv.bias, None
    if rope is not None:
        weight, bias = (None if p is None else _in_pairs(p, layout) for p in (weight, bias))
        cos, sin = (table.flatten(0, -2)[:, : table.shape[-1] // 2] for table in rope)
        turn = torch.complex(cos, sin)
    rows = cpu.Linear.apply(x.flatten(0, 1), weight, bias)
    return CausalAttention.apply(rows, layout, turn).unflatten(0, x.shape[:2])


def _in_pairs(p: Tensor, layout: Layout) -> Tensor:
    """Weights or biases of queries, keys and values, of the first two i and i + d / 2 as neighbours: the same
    order of both leaves their products."""
    heads = layout.heads + layout.groups
    turned, values = p.tensor_split([heads * (len(p) // sum(layout.parts))])
    return torch.cat((turned.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2), values))


def swiglu(x: Tensor) -> Tensor:
    """silu(first half) * second half of the last dimension; [.., 2 F] to [.., F]."""
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


def swiglu_layers(x: Tensor, gate_up: nn.Linear, down: nn.Linear) -> Tensor:
    """down(swiglu(gate_up(x))); [B, T, D] to [B, T, D].

    Args:
        x: `[B, T, D]`.
        gate_up: D to twice the inner width, the gate first.
        down: the inner width to D.
    """
    if not use_kernels(x) or gate_up.bias is not None:
        return linear(swiglu(linear(x, gate_up)), down)
    return SwiGLU.apply(x.reshape(-1, x.shape[-1]), gate_up.weight, down.weight).view_as(x)


def expert_layers(x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """Sum over a token's experts of weight x down(swiglu(gate_up(x))).

    Args:
        x: [N, D].
        chosen: [N, k] numbers of experts.
        weights: [N, k] float32.
        gate_up: [E, 2 F, D].
        down: [E, D, F].

    Returns:
        [N, D].
    """
    if use_kernels(x):
        return Experts.apply(x, chosen, weights, gate_up, down)
    n, k = chosen.shape
    order = chosen.flatten().argsort(stable=True)
    counts = torch.bincount(chosen.flatten(), minlength=len(gate_up))
    rows = x.index_select(0, order // k)
    inner = swiglu(_grouped(rows, gate_up, counts))
    y = _grouped(inner, down, counts).index_select(0, order.argsort()).view(n, k, -1)
    return (y * weights[..., None].to(y.dtype)).sum(1)


def _grouped(x: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """x [M, D], the rows of expert after expert, times weight [E, F, D] transposed."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight = x.to(dtype), weight.to(dtype)
    if all(size * x.element_size() % _ALIGNMENT == 0 for size in weight.shape[1:]):
        return F.grouped_mm(x, weight.mT, offs=counts.cumsum(0).to(torch.int32))
    return torch.cat([part @ w.t() for part, w in zip(x.split(counts.tolist()), weight)])


def merge_heads(y: Tensor) -> Tensor:
    """[B, H, T, D / H] to [B, T, D]."""
    return y.transpose(1, 2).flatten(2)


def use_kernels(x: Tensor) -> bool:
    """Whether these hidden states [.., D] are served by the kernels."""
    return (
        _allowed
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() >= MIN_ROWS * x.shape[-1]
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and cpu.have_onednn()
    )
