"""Hyena's mixer in float32 on the CPU, forward and backward, between its products sequence by sequence.

A sequence's numbers stay in the core's cache from one operation to the next. The projections are computed
with channels first, the order that convolutions want, so nothing is ever transposed, and those of a whole
batch in one product each. What is summed over sequences and places is summed over places once at the end.

Shapes: B sequences, L places, N = B L, D width, K taps, S sides, n places of the transform.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from biotrain.layers.cpu import product
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
        inputs = product(w.inner, x.flatten(0, 1)).view(3 * d, b, length)
        mixed, gated = x.new_empty(b, d, length), x.new_empty(d, b, length)
        spectra, padded = k_f.new_empty(b, *k_f.shape), x.new_zeros(d, n)
        for i in range(b):
            t = _hide(inputs[:, i] + w.inner_bias[:, None], real, i)
            inputs[:, i] = t
            x0, x1, v = _short(t, w, len(k)).chunk(3)
            v = _hide(torch.mul(v, x1, out=padded[:, :length]), real, i)
            torch.fft.rfft(padded, out=spectra[i])
            y = torch.fft.irfft(spectra[i] * k_f, n=n)[:, :length]
            torch.addcmul(y, v, w.skip[:, None], out=mixed[i])
            torch.mul(x0, mixed[i], out=gated[:, i])
        ctx.save_for_backward(x, k, real, inputs, spectra, mixed, *weights)
        return torch.addmm(w.out_bias, gated.flatten(1).t(), w.out.t()).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, k, real, inputs, spectra, mixed, *weights = ctx.saved_tensors
        w, rows, grad = HyenaWeights(*weights), x.flatten(0, 1), grad_outputs[0].flatten(0, 1).contiguous()
        dz = product(w.out.t().contiguous(), grad).view(-1, *x.shape[:2])
        gated, dt = torch.empty_like(dz), torch.empty_like(inputs)
        sums = _Sums.zeros(w, x, k)
        for i, (y, f) in enumerate(zip(mixed, spectra)):
            t, g = inputs[:, i].contiguous(), dz[:, i].contiguous()
            x0, x1, v = _short(t, w, len(k)).chunk(3)
            torch.mul(x0, y, out=gated[:, i])
            du = torch.empty_like(t)
            d0, d1, dv = du.chunk(3)
            torch.mul(g, y, out=d0)
            back = _hide(sums.convolved(g.mul_(x0), f).addcmul_(g, w.skip[:, None]), real, i)
            sums.skip.add_(_hide(g.mul_(v).mul_(x1), real, i))
            torch.mul(back, v, out=d1)
            torch.mul(back, x1, out=dv)
            dt[:, i] = _hide(_short_back(du, t, w, sums), real, i)
        by_channel = dt.flatten(1)
        dx = torch.mm(by_channel.t(), w.inner).view_as(x)
        inner, out = product(by_channel, rows.t()), product(gated.flatten(1), grad.t()).t()
        short, short_bias = sums.taps.sum(-1).t().unsqueeze(1), sums.bias.sum(-1)
        of_weights = (inner, by_channel.sum(1), short, short_bias, sums.skip.sum(-1), out, grad.sum(0))
        return dx, sums.of_filter(), None, *of_weights


class _Sums(NamedTuple):
    """What sequences add up to.

    Attributes:
        k: the filter, [S, D, L].
        k_f: conjugate of its transform, [D, n / 2 + 1].
        padded: scratch of zeros from L on, [D, n].
        products: of transforms, [D, n / 2 + 1].
        skip: [D, L], place by place.
        taps: [K, 3 D, L], too.
        bias: [3 D, L], too.
    """

    k: Tensor
    k_f: Tensor
    padded: Tensor
    products: Tensor
    skip: Tensor
    taps: Tensor
    bias: Tensor

    @classmethod
    def zeros(cls, w: HyenaWeights, x: Tensor, k: Tensor) -> _Sums:
        """Before the first sequence."""
        _, length, d = x.shape
        n = fft_size(length)
        k_f = spectrum(k, n).conj().resolve_conj()
        taps = x.new_zeros(w.short.shape[-1], 3 * d, length)
        padded, skip, bias = x.new_zeros(d, n), x.new_zeros(d, length), x.new_zeros(3 * d, length)
        return cls(k, k_f, padded, torch.zeros_like(k_f), skip, taps, bias)

    def convolved(self, g: Tensor, f: Tensor) -> Tensor:
        """Gradient [D, L] of what the filter reads, from that of what it gives; f transforms the former."""
        n, length = self.padded.shape[1], g.shape[1]
        self.padded[:, :length] = g
        g_f = torch.fft.rfft(self.padded)
        self.products.addcmul_(f.conj(), g_f)
        return torch.fft.irfft(g_f.mul_(self.k_f), n=n)[:, :length]

    def of_filter(self) -> Tensor:
        """The filter's gradient, [S, D, L]."""
        return filter_gradient(self.products, self.products.conj(), n=self.padded.shape[1], like=self.k)


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


def _short_back(du: Tensor, t: Tensor, w: HyenaWeights, sums: _Sums) -> Tensor:
    """Gradient of what goes into the short convolution, [3 D, L]; adds those of its weights."""
    taps, length = w.short.shape[-1], du.shape[1]
    dt = torch.zeros_like(du)
    for tap in range(taps):
        there, here = _reach(tap, taps, len(sums.k), length)
        dt[:, here].addcmul_(du[:, there], w.short[:, 0, tap : tap + 1])
        sums.taps[tap][:, there].addcmul_(du[:, there], t[:, here])
    sums.bias.add_(du)
    return dt
