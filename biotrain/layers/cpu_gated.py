"""Based's gated convolution in float32 on the CPU, forward and backward, sequence by sequence.

Tokens stay rows, so that a tap of the convolution is the same numbers some rows earlier: nothing is
transposed.

Shapes: N sequences, L tokens, C channels, K taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class GatedConvolution(Function):
    """u [N, L, 2 C], weight [C, 1, K]: silu(convolution(first half)) x second half, [N, L, C]; causal."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, weight: Tensor) -> Tensor:
        taps = weight[:, 0].t().contiguous()
        mixed = u.new_empty(*u.shape[:2], u.shape[2] // 2)
        y = torch.empty_like(mixed)
        for rows, c, out in zip(u, mixed, y):
            first, gate = rows.chunk(2, -1)
            torch.mul(first, taps[-1], out=c)
            for back in range(1, min(len(taps), len(c))):
                c[back:].addcmul_(first[:-back], taps[-1 - back])
            torch.sigmoid(c, out=out).mul_(c).mul_(gate)
        ctx.save_for_backward(u, weight, mixed)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        u, weight, mixed = ctx.saved_tensors
        taps = weight[:, 0].t().contiguous()
        du, dtaps = torch.empty_like(u), torch.zeros_like(taps)
        for g, rows, c, d_rows in zip(grad_outputs[0], u, mixed, du):
            (first, gate), (d_first, d_gate) = rows.chunk(2, -1), d_rows.chunk(2, -1)
            s = torch.sigmoid(c)
            silu = s * c
            torch.mul(g, silu, out=d_gate)
            dc = silu.mul_(1 - s).add_(s).mul_(g).mul_(gate)
            torch.mul(dc, taps[-1], out=d_first)
            dtaps[-1].add_((dc * first).sum(0))
            for back in range(1, min(len(taps), len(c))):
                d_first[:-back].addcmul_(dc[back:], taps[-1 - back])
                dtaps[-1 - back].add_((dc[back:] * first[:-back]).sum(0))
        return du, dtaps.t().unsqueeze(1)
