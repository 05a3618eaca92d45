"""Hand-made CPU kernels for float32 training: the same arithmetic as PyTorch's own layers, less waiting.

Measured on the 8M-parameter benchmark (`benchmarks/train_step.py`), matrix products are three quarters of a
step and tanh another tenth. So: products go to oneDNN (10-15 % faster than the default BLAS on AMD, equal on
Intel); GELU becomes x sigmoid(u), whose derivative is made while the numbers are in cache; causal attention
skips the future by blocks and keeps its weights for the backward pass.

Shapes: B sequences, T tokens, D width, H heads, F inner width, N = B T rows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

BLOCK_T = 64
"""Queries handled together in attention; keys after the block are never computed."""

BLOCK_BYTES = 1 << 19
"""Size of a block of rows in the feed-forward layer: four such blocks stay in a core's cache."""

_GELU_A = math.sqrt(8 / math.pi)
_GELU_B = _GELU_A * 0.044715


def have_onednn() -> bool:
    """Whether this PyTorch has oneDNN's matrix product."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias by oneDNN.

    Args:
        x: `[N, in]`.
        weight: `[out, in]`.
        bias: `[out]`, None for none.
    """
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Linear(Function):
    """x [N, D] times weight^T plus bias, if there is one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        return product(grad, weight.t()), grad.t() @ x, grad.sum(0) if ctx.has_bias else None


class FeedForward(Function):
    """x [N, D] up to [N, F], tanh-approximated GELU, down to [N, D].

    gelu(h) = h s with s = sigmoid(u), u = a h + b h^3, a = sqrt(8/pi), b = 0.044715 a: tanh's own formula
    rewritten by (1 + tanh z) / 2 = sigmoid(2 z). Its derivative, s + h s (1 - s)(a + 3 b h^2), is made in
    the forward pass and takes h's memory, which nothing else needs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor) -> Tensor:
        h = product(x, up, up_bias)
        y = torch.empty_like(h)
        rows = max(1, BLOCK_BYTES // (h.shape[1] * h.element_size()))
        work = h.new_empty(2, min(rows, len(h)), h.shape[1])
        for start in range(0, len(h), rows):
            _gelu(h[start : start + rows], y[start : start + rows], work)
        ctx.save_for_backward(x, up, h, y, down)
        return product(y, down, down_bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, ...]:
        x, up, slope, y, down = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        inner = product(grad, down.t()).mul_(slope)
        return product(inner, up.t()), inner.t() @ x, inner.sum(0), grad.t() @ y, grad.sum(0)


def _gelu(h: Tensor, y: Tensor, work: Tensor) -> None:
    """Writes gelu(h) to y and its derivative over h; `work` is two blocks of scratch."""
    s, t = work[:, : len(h)]
    torch.addcmul(torch.tensor(_GELU_A), h, h, value=3 * _GELU_B, out=t)
    torch.add(t, 2 * _GELU_A, out=s).mul_(h).mul_(1 / 3).sigmoid_()
    torch.mul(h, s, out=y)
    t.mul_(y)
    torch.lerp(s, torch.tensor(1.0), t, out=h)


class CausalAttention(Function):
    """softmax(q k^T / sqrt(D / H)) v with the future masked; qkv [B, T, 3 D] to [B, T, D].

    Goes sequence by sequence and block by block of queries, so that the weights stay in cache and the keys
    after a block cost nothing. Weights are kept for the backward pass: B H T (T + BLOCK_T) / 2 floats.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int) -> Tensor:
        b, t, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        scale = 1 / math.sqrt(d // heads)
        y = qkv.new_empty(b, t, d)
        out = y.view(b, t, heads, d // heads).transpose(1, 2)
        blocks = [(start, min(start + BLOCK_T, t)) for start in range(0, t, BLOCK_T)]
        weights = [qkv.new_empty(b, heads, stop - start, stop) for start, stop in blocks]
        future = qkv.new_full((BLOCK_T, BLOCK_T), -math.inf).triu_(1)
        for i, (q, k, v) in enumerate(_split_heads(qkv, heads)):
            for (start, stop), weight in zip(blocks, weights):
                p, size = weight[i], stop - start
                torch.baddbmm(p, q[:, start:stop], k[:, :stop].mT, beta=0, alpha=scale, out=p)
                p[:, :, start:].add_(future[:size, :size])
                torch.softmax(p, -1, out=p)
                out[i, :, start:stop] = torch.bmm(p, v[:, :stop])
        ctx.save_for_backward(qkv, *weights)
        ctx.heads, ctx.blocks, ctx.scale = heads, blocks, scale
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        qkv, *weights = ctx.saved_tensors
        result = torch.empty_like(qkv)
        b, t, d = grad_outputs[0].shape
        outer = grad_outputs[0].reshape(b, t, ctx.heads, d // ctx.heads).transpose(1, 2)
        sums = qkv.new_empty(3, ctx.heads, t, d // ctx.heads)
        scratch = qkv.new_empty(max(weight[0].numel() for weight in weights))
        places = zip(_split_heads(qkv, ctx.heads), _split_heads(result, ctx.heads))
        for i, (values, place) in enumerate(places):
            for n in reversed(range(len(weights))):
                start, stop = ctx.blocks[n]
                block = _Block(start, stop, weights[n][i], ctx.scale, is_first=n == len(weights) - 1)
                block.add_grads(values, outer[i], sums, scratch)
            place.copy_(sums)
        return result, None


class _Block(NamedTuple):
    """A block of queries of one sequence, with its attention weights p [H, stop - start, stop]."""

    start: int
    stop: int
    p: Tensor
    scale: float
    is_first: bool

    def add_grads(self, qkv: Tensor, outer: Tensor, sums: Tensor, scratch: Tensor) -> None:
        """Writes this block's dq and adds its share to dk and dv (the first block writes them)."""
        start, stop, p, scale, is_first = self
        (q, k, v), (dq, dk, dv) = qkv, sums
        g, ds = outer[:, start:stop], scratch[: p.numel()].view(p.shape)
        beta = 0 if is_first else 1
        torch.bmm(g, v[:, :stop].mT, out=ds)
        torch.ops.aten._softmax_backward_data.out(ds, p, -1, torch.float32, grad_input=ds)
        torch.baddbmm(dv[:, :stop], p.mT, g, beta=beta, out=dv[:, :stop])
        torch.baddbmm(dk[:, :stop], ds.mT, q[:, start:stop], beta=beta, alpha=scale, out=dk[:, :stop])
        torch.baddbmm(dq[:, start:stop], ds, k[:, :stop], beta=0, alpha=scale, out=dq[:, start:stop])


def _split_heads(qkv: Tensor, heads: int) -> Tensor:
    """[B, T, 3 D] seen as [B, 3, H, T, D / H]."""
    b, t, d = qkv.shape
    return qkv.view(b, t, 3, heads, d // 3 // heads).permute(0, 2, 3, 1, 4)
