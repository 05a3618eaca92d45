"""Based's gated convolution in float32 on the CPU, forward and backward, sequence by sequence.

Tokens stay rows, so that a tap of the convolution is the same numbers some rows earlier: nothing is
transposed. What both halves' gradients are multiples of is made in the forward pass.

Shapes: N sequences, L tokens, C channels, K taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class GatedConvolution(Function):
    """u [N, L, 2 C], weight [C, 1, K]: silu(convolution(first half)) x second half, [N, L, C]; causal.

    With s = sigmoid(c), silu'(c) = s + silu(c) (1 - s): from silu(c) to 1, as far as s says.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, weight: Tensor) -> Tensor:
        taps, one = weight[:, 0].t().contiguous(), torch.tensor(1.0)
        y = u.new_empty(*u.shape[:2], u.shape[2] // 2)
        silus, slopes = torch.empty_like(y), torch.empty_like(y)
        for rows, out, silu, c in zip(u, y, silus, slopes):
            first, gate = rows.chunk(2, -1)
            torch.mul(first, taps[-1], out=c)
            for back in range(1, min(len(taps), len(c))):
                c[back:].addcmul_(first[:-back], taps[-1 - back])
            torch.mul(torch.sigmoid(c, out=out), c, out=silu)
            torch.lerp(silu, one, out, out=c).mul_(gate)
            torch.mul(silu, gate, out=out)
        ctx.save_for_backward(u, weight, silus, slopes)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        u, weight, silus, slopes = ctx.saved_tensors
        taps = weight[:, 0].t().contiguous()
        du, sums = torch.empty_like(u), u.new_zeros(len(taps), *silus.shape[1:])
        for g, rows, silu, slope, d_rows in zip(grad_outputs[0], u, silus, slopes, du):
            (first, _), (d_first, d_gate) = rows.chunk(2, -1), d_rows.chunk(2, -1)
            torch.mul(g, silu, out=d_gate)
            dc = g * slope
            torch.mul(dc, taps[-1], out=d_first)
            sums[-1].addcmul_(dc, first)
            for back in range(1, min(len(taps), len(dc))):
                d_first[:-back].addcmul_(dc[back:], taps[-1 - back])
                sums[-1 - back][back:].addcmul_(dc[back:], first[:-back])
        return du, sums.sum(1).t().unsqueeze(1)
