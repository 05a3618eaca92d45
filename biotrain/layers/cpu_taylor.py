"""Based's linear attention in float32 on the CPU, forward and backward, block by block of pairs.

With t = 1 + s the polynomial is (t^2 + 1) / 2 and its derivative t: t alone is kept for the backward pass,
and the pairs of a block stay in cache. Keys after a block of queries are never computed.

Shapes: N sequences, H heads, L tokens, d' features, E width of values.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

BLOCK = 64
"""Queries handled together."""


class TaylorAttention(Function):
    """q, k [N, H, L, d'] and v [N, H, L, E] to the causal sums [N, H, L, E] over those of the weights."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, h, length, width = q.shape
        y, total = v.new_empty(n, length, h, v.shape[-1]).transpose(1, 2), v.new_empty(n, h, length, 1)
        blocks = [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]
        kept = [q.new_empty(n, h, stop - start, stop) for start, stop in blocks]
        past = q.new_ones(BLOCK, BLOCK).tril_()
        for (start, stop), pairs in zip(blocks, kept):
            one = torch.ones((), dtype=q.dtype)
            for i, t in enumerate(pairs):
                torch.baddbmm(one, q[i, :, start:stop], k[i, :, :stop].mT, alpha=width**-0.5, out=t)
                t[..., start:].mul_(past[: stop - start, : stop - start])
                weights = _weights(t, past, start)
                torch.sum(weights, -1, keepdim=True, out=total[i, :, start:stop])
                y[i, :, start:stop] = torch.bmm(weights, v[i, :, :stop]).div_(total[i, :, start:stop])
        ctx.save_for_backward(q, k, v, y, total, past, *kept)
        ctx.blocks = blocks
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, y, total, past, *kept = ctx.saved_tensors
        scale = 1 / math.sqrt(q.shape[-1])
        dq, dk, dv = (torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))
        for i, (g, y_i, sum_i) in enumerate(zip(grad_outputs[0], y, total)):
            shared = g / sum_i
            inner = (shared * y_i).sum(-1, keepdim=True)
            for (start, stop), pairs in zip(ctx.blocks, kept):
                t, part = pairs[i], shared[:, start:stop]
                dv[i, :, :stop].baddbmm_(_weights(t, past, start).mT, part)
                ds = torch.baddbmm(inner[:, start:stop], part, v[i, :, :stop].mT, beta=-1).mul_(t)
                torch.bmm(ds, k[i, :, :stop], out=dq[i, :, start:stop])
                dk[i, :, :stop].baddbmm_(ds.mT, q[i, :, start:stop])
        return dq.mul_(scale), dk.mul_(scale), dv


def _weights(t: Tensor, past: Tensor, start: int) -> Tensor:
    """(t^2 + 1) / 2 for the keys up to the query, 0 after it, [H, block, stop]."""
    weights = torch.square(t).add_(1).mul_(0.5)
    size = weights.shape[-1] - start
    weights[..., start:].mul_(past[:size, :size])
    return weights
