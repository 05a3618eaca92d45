"""Hand-made CPU kernels for float32 training: the same arithmetic as PyTorch's own layers, less waiting.

Measured on the 8M-parameter benchmark (`benchmarks/train_step.py`), matrix products are three quarters of a
step and tanh another tenth. So: products go to the faster library (`onednn_is_faster`); GELU becomes
x sigmoid(u), whose derivative is made while the numbers are in cache; RMSNorm passes over its input a few
times only. Attention and experts have files of their own beside this one.

Shapes: N rows (tokens of all sequences), D width, F inner width.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

BLOCK_BYTES = 1 << 18
"""Size of a block of rows in the feed-forward layer: larger ones leave the caches, smaller are many calls."""

_GELU_A = math.sqrt(8 / math.pi)
_GELU_B = _GELU_A * 0.044715


def have_onednn() -> bool:
    """Whether this PyTorch has oneDNN's matrix product."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN's products beat torch's own: by 10 to 15 % on AMD, where MKL holds back; on Intel's own
    CPUs MKL is 3 to 7 % ahead of it, but for biases, which torch's own way adds in a pass of their own."""
    cpus = Path("/proc/cpuinfo")
    return not (torch.backends.mkl.is_available() and cpus.exists() and "GenuineIntel" in cpus.read_text())


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias by the faster library.

    Args:
        x: `[N, in]`.
        weight: `[out, in]`.
        bias: `[out]`, None for none.
    """
    if bias is None and not onednn_is_faster():
        return F.linear(x, weight)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """grad^T x, [out, in]: as the wider of its two forms, a tenth faster than the taller.

    Args:
        grad: of the outputs, `[N, out]`.
        x: `[N, in]`.
    """
    return grad.t() @ x if grad.shape[1] <= x.shape[1] else (x.t() @ grad).t().contiguous()


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
        return product(grad, weight.t()), weight_gradient(grad, x), grad.sum(0) if ctx.has_bias else None


class RMSNorm(Function):
    """x [N, D] / rms(x) times weight [D], rms(x)^2 = mean(x^2) + eps.

    With r = 1 / rms, dx = r g weight - x r^3 mean(g weight x).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return torch.mul(x, r).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, r = ctx.saved_tensors
        grad = grad_outputs[0]
        work = grad * x
        to_weight = work.t().mv(r[:, 0])
        shared = work.mv(weight)[:, None].mul_(r**3).div_(-x.shape[1])
        return torch.mul(grad, weight, out=work).mul_(r).addcmul_(x, shared), to_weight, None


class FeedForward(Function):
    """x [N, D] up to [N, F], GELU, exact or tanh-approximated, down to [N, D].

    The exact one is torch's own, its gradient made in place. Approximated, gelu(h) = h s with s = sigmoid(u),
    u = a h + b h^3, a = sqrt(8/pi), b = 0.044715 a: tanh's own formula rewritten by (1 + tanh z) / 2 =
    sigmoid(2 z). Its derivative, s + h s (1 - s)(a + 3 b h^2), is made in the forward pass and takes h's
    memory, which nothing else needs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        up: Tensor,
        up_bias: Tensor | None,
        down: Tensor,
        down_bias: Tensor | None,
        exact: bool,
    ) -> Tensor:
        h = product(x, up, up_bias)
        if exact:
            y = F.gelu(h)
        else:
            y = torch.empty_like(h)
            _gelu(h, y, rows=max(1, BLOCK_BYTES // (h.shape[1] * h.element_size())))
        ctx.save_for_backward(x, up, h, y, down)
        ctx.exact = exact
        return product(y, down, down_bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, up, h, y, down = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        inner = product(grad, down.t())
        if ctx.exact:
            torch.ops.aten.gelu_backward.grad_input(inner, h, grad_input=inner)
        else:
            inner.mul_(h)
        to_up, to_down = weight_gradient(inner, x), weight_gradient(grad, y)
        to_up_bias, to_down_bias = (
            g.sum(0) if needed else None for g, needed in zip((inner, grad), ctx.needs_input_grad[2::2])
        )
        return product(inner, up.t()), to_up, to_up_bias, to_down, to_down_bias, None


def _gelu(h: Tensor, y: Tensor, *, rows: int) -> None:
    """Writes gelu(h) to y and its derivative over h, so many rows at a time."""
    one, linear = torch.tensor(1.0), torch.tensor(_GELU_A)
    s, t = h.new_empty(2, rows, h.shape[1])
    for values, out in zip(h.split(rows), y.split(rows)):
        if len(values) < rows:
            s, t = s[: len(values)], t[: len(values)]
        torch.addcmul(linear, values, values, value=3 * _GELU_B, out=t)
        torch.addcmul(linear, values, values, value=_GELU_B, out=s).mul_(values).sigmoid_()
        torch.mul(values, s, out=out)
        t.mul_(out)
        torch.lerp(s, one, t, out=values)
