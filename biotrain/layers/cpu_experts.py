"""Hand-made CPU kernel of SwiGLU experts for float32 training, in the manner of `biotrain.layers.cpu`.

Rows are sorted by expert once; products go to oneDNN expert by expert; the SwiGLU and its derivative are made
block by block while the numbers are in cache, the derivative taking the memory of its input.

Shapes: N tokens, k experts of each, M = N k rows, D width, F inner width, E experts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from biotrain.layers.cpu import product

BLOCK_BYTES = 1 << 20
"""Size of a block of rows of gate and up: larger ones leave the cache, smaller ones are many operations."""


class SwiGLU(Function):
    """x [N, D] up to gate and up [N, 2 F], silu(gate) * up, down to [N, D]; without biases."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
        slope = product(x, gate_up)
        inner = x.new_empty(len(x), down.shape[1])
        _swiglu(slope, inner)
        ctx.save_for_backward(x, gate_up, slope, inner, down)
        return product(inner, down)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, ...]:
        x, gate_up, slope, inner, down = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        change = slope.view(len(x), 2, -1).mul(product(grad, down.t())[:, None]).view_as(slope)
        return product(change, gate_up.t()), change.t() @ x, grad.t() @ inner


class Experts(Function):
    """Sum over a token's experts of weight x down(silu(gate(x)) * up(x)); see `kernels.expert_layers`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
    ) -> Tensor:
        n, k = chosen.shape
        order = chosen.flatten().argsort(stable=True)
        sizes = torch.bincount(chosen.flatten(), minlength=len(gate_up)).tolist()
        rows = x.index_select(0, order // k)
        inner, y = x.new_empty(n * k, down.shape[2]), x.new_empty(n * k, x.shape[1])
        slopes = []
        parts = zip(rows.split(sizes), inner.split(sizes), y.split(sizes), gate_up, down)
        for row, middle, out, first, second in parts:
            slopes.append(product(row, first) if len(row) else row.new_empty(0, len(first)))
            if len(row):
                _swiglu(slopes[-1], middle)
                out.copy_(product(middle, second))
        place = torch.empty_like(order)
        place[order] = torch.arange(n * k)
        y = y.index_select(0, place).view(n, k, -1)
        ctx.save_for_backward(rows, order, place, weights, inner, y, gate_up, down, *slopes)
        ctx.sizes = sizes
        return torch.bmm(weights[:, None], y).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        rows, order, place, weights, inner, y, gate_up, down, *slopes = ctx.saved_tensors
        (n, k), grad = weights.shape, grad_outputs[0].contiguous()
        to_weights = torch.bmm(y, grad[:, :, None]).squeeze(2)
        outer = grad.index_select(0, order // k).mul_(weights.flatten()[order][:, None])
        to_gate_up, to_down = torch.zeros_like(gate_up), torch.zeros_like(down)
        to_rows = torch.empty_like(rows)
        sizes = ctx.sizes
        parts = zip(rows.split(sizes), inner.split(sizes), outer.split(sizes), to_rows.split(sizes), slopes)
        for e, (row, middle, out, to_row, slope) in enumerate(parts):
            if not len(row):
                continue
            torch.mm(out.t(), middle, out=to_down[e])
            to_middle = product(out, down[e].t())
            change = slope.view(len(row), 2, -1).mul(to_middle[:, None]).view_as(slope)
            torch.mm(change.t(), row, out=to_gate_up[e])
            to_row.copy_(product(change, gate_up[e].t()))
        to_x = to_rows.index_select(0, place).view(n, k, -1).sum(1)
        return to_x, None, to_weights, to_gate_up, to_down


def _swiglu(h: Tensor, out: Tensor) -> None:
    """Writes silu(a) b of the halves a, b of `h` to `out`, and over `h` its derivatives by a and by b.

    silu'(a) = s + a s (1 - s) with s = sigmoid(a).
    """
    f = out.shape[1]
    step = max(1, BLOCK_BYTES // (h.shape[1] * h.element_size()))
    for start in range(0, len(h), step):
        a, b = h[start : start + step, :f], h[start : start + step, f:]
        s = a.sigmoid()
        silu = s * a
        torch.mul(silu, b, out=out[start : start + step])
        slope = torch.addcmul(s, silu, s, value=-1).add_(silu)  # s - silu s + silu
        torch.mul(slope, b, out=a)
        b.copy_(silu)
