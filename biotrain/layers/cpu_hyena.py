"""Hyena's mixer in float32 on the CPU, forward and backward, sequence by sequence.

A sequence's numbers stay in the core's cache from one operation to the next. The projections are computed
with channels first, the order that convolutions want, so nothing is ever transposed.

Shapes: B sequences, L places, D width, K taps, S sides, n places of the transform.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from biotrain.layers.long_conv import fft_size, filter_gradient, spectrum


class HyenaWeights(NamedTuple):
    """Of a mixer.

    Attributes:
        inner: [3 D, D] and [3 D], the input projection.
        inner_bias: see above.
        short: [3 D, 1, K] and [3 D], the short convolution.
        short_bias: see above.
        skip: [D].
        out: [D, D] and [D], the output projection.
        out_bias: see above.
    """

    inner: Tensor
    inner_bias: Tensor
    short: Tensor
    short_bias: Tensor
    skip: Tensor
    out: Tensor
    out_bias: Tensor


class HyenaMix(Function):
    """x [B, L, D], filter k [S, D, L], mask [B, L] or `None`, and `HyenaWeights`, to [B, L, D].

    Two-sided when k has two sides; only then the mask is looked at.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: Tensor, real: Tensor | None, *weights: Tensor) -> Tensor:
        w = HyenaWeights(*weights)
        b, length, d = x.shape
        n = fft_size(length)
        k_f = spectrum(k, n)
        inputs, mixed = x.new_empty(b, 3 * d, length), x.new_empty(b, d, length)
        spectra, result = k_f.new_empty(b, *k_f.shape), torch.empty_like(x)
        for i, t in enumerate(inputs):
            torch.addmm(w.inner_bias[:, None], w.inner, x[i].t(), out=t)
            _hide(t, real, i)
            x0, x1, v = _short(t, w, len(k)).chunk(3)
            _hide(v.mul_(x1), real, i)
            torch.fft.rfft(v, n=n, out=spectra[i])
            y = torch.fft.irfft(spectra[i] * k_f, n=n)[:, :length]
            torch.addcmul(y, v, w.skip[:, None], out=mixed[i])
            torch.addmm(w.out_bias, x0.mul_(mixed[i]).t(), w.out.t(), out=result[i])
        ctx.save_for_backward(x, k, real, inputs, spectra, mixed, *weights)
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, k, real, inputs, spectra, mixed, *weights = ctx.saved_tensors
        w, n = HyenaWeights(*weights), fft_size(x.shape[1])
        k_f = spectrum(k, n).conj().resolve_conj()
        sums = HyenaWeights(*(torch.zeros_like(p) for p in w))
        product, dx, du = torch.zeros_like(k_f), torch.empty_like(x), torch.empty_like(inputs[0])
        d0, d1, dv = du.chunk(3)
        for i, (g, y, t) in enumerate(zip(grad_outputs[0], mixed, inputs)):
            x0, x1, v = _short(t, w, len(k)).chunk(3)
            sums.out.addmm_(g.t(), (x0 * y).t())
            dz = w.out.t() @ g.t()
            torch.mul(dz, y, out=d0)
            dz.mul_(x0)
            g_f = torch.fft.rfft(dz, n=n)
            product.addcmul_(spectra[i].conj(), g_f)
            grad = torch.fft.irfft(g_f.mul_(k_f), n=n)[:, : len(g)].addcmul_(dz, w.skip[:, None])
            sums.skip.add_(_hide(dz.mul_(v).mul_(x1), real, i).sum(-1))
            _hide(grad, real, i)
            torch.mul(grad, v, out=d1)
            torch.mul(grad, x1, out=dv)
            dt = _hide(_short_back(du, t, w, sums, len(k)), real, i)
            sums.inner.addmm_(dt, x[i])
            sums.inner_bias.add_(dt.sum(-1))
            torch.mm(dt.t(), w.inner, out=dx[i])
        sums.out_bias.copy_(grad_outputs[0].sum((0, 1)))
        return dx, filter_gradient(product, product.conj(), n=n, like=k), None, *sums


def _hide(x: Tensor, real: Tensor | None, sequence: int) -> Tensor:
    """Zeros in place at the padding of a sequence [C, L]."""
    return x if real is None else x.mul_(real[sequence])


def _reach(tap: int, taps: int, sides: int, length: int) -> tuple[slice, slice]:
    """Where a tap of the short convolution writes, and where it reads."""
    behind = taps - 1 - tap - (0 if sides == 1 else (taps - 1) // 2)
    start, stop = max(0, behind), max(0, min(length, length + behind))
    return slice(min(start, stop), stop), slice(min(start, stop) - behind, stop - behind)


def _short(t: Tensor, w: HyenaWeights, sides: int) -> Tensor:
    """The short convolution of one sequence, [3 D, L]."""
    u = w.short_bias[:, None].expand_as(t).contiguous()
    taps, length = w.short.shape[-1], t.shape[1]
    for tap in range(taps):
        there, here = _reach(tap, taps, sides, length)
        u[:, there].addcmul_(t[:, here], w.short[:, 0, tap : tap + 1])
    return u


def _short_back(du: Tensor, t: Tensor, w: HyenaWeights, sums: HyenaWeights, sides: int) -> Tensor:
    """Gradient of what goes into the short convolution, [3 D, L]; adds those of its weights."""
    taps, length = w.short.shape[-1], du.shape[1]
    dt = torch.zeros_like(du)
    for tap in range(taps):
        there, here = _reach(tap, taps, sides, length)
        dt[:, here].addcmul_(du[:, there], w.short[:, 0, tap : tap + 1])
        sums.short[:, 0, tap].add_((du[:, there] * t[:, here]).sum(-1))
    sums.short_bias.add_(du.sum(-1))
    return dt
