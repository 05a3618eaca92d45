"""Hyena's mixer in float32 on the CPU, forward and backward, between its products some channels at a time.

Channels come first, the order that convolutions want, so nothing is ever transposed, and what some channels
need lies together and stays in the core's cache from one operation to the next. The projections of a whole
batch are one product each.

Shapes: B sequences, L places, N = B L, D width, c channels handled together, K taps, S sides, n places of the
transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from biotrain.layers.cpu import product
from biotrain.layers.long_conv import fft_size, filter_gradient, spectrum

BLOCK_BYTES = 1 << 18
"""Size of c channels of a batch: larger ones leave the cache, smaller are many operations."""


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

    @property
    def taps(self) -> Tensor:
        """Of the short convolutions of x0, x1 and v, [K, 3, D, 1, 1]."""
        return self.short[:, 0].t().reshape(-1, 3, len(self.skip), 1, 1)

    def of_thirds(self, bias: Tensor) -> Tensor:
        """Numbers of the 3 D channels, [3, D, 1, 1]."""
        return bias.view(3, -1, 1, 1)


class HyenaMix(Function):
    """x [B, L, D], filter k [S, D, L], mask [B, L] or `None`, and `HyenaWeights`, to [B, L, D].

    Two-sided when k has two sides; only then the mask is looked at.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: Tensor, real: Tensor | None, *weights: Tensor) -> Tensor:
        w, (b, length, d) = HyenaWeights(*weights), x.shape
        n, blocks = fft_size(length), _blocks(*x.shape)
        k_f, skip = spectrum(k, n)[:, None], w.skip[:, None, None]
        inputs = product(w.inner, x.flatten(0, 1)).view(3, d, b, length)
        gated, mixed = x.new_empty(2, d, b, length)
        spectra, padded = k_f.new_empty(d, b, k_f.shape[-1]), x.new_zeros(blocks[0].stop, b, n)
        for c in blocks:
            t = _hide(inputs[:, c].add_(w.of_thirds(w.inner_bias)[:, c]), real)
            x0, x1, v = _short(t, w.taps[:, :, c], w.of_thirds(w.short_bias)[:, c], len(k))
            room = padded[: len(v)]
            v = _hide(torch.mul(v, x1, out=room[..., :length]), real)
            torch.fft.rfft(room, out=spectra[c])
            y = torch.fft.irfft(spectra[c] * k_f[c], n=n)[..., :length]
            torch.mul(x0, torch.addcmul(y, v, skip[c], out=mixed[c]), out=gated[c])
        ctx.save_for_backward(x, k, real, inputs, spectra, mixed, *weights)
        return torch.addmm(w.out_bias, gated.view(d, -1).t(), w.out.t()).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, k, real, inputs, spectra, mixed, *weights = ctx.saved_tensors
        w, rows, grad = HyenaWeights(*weights), x.flatten(0, 1), grad_outputs[0].flatten(0, 1).contiguous()
        n, blocks = fft_size(x.shape[1]), _blocks(*x.shape)
        dz = product(w.out.t().contiguous(), grad).view_as(mixed)
        gated, dt, sums = torch.empty_like(dz), torch.empty_like(inputs), _Sums.empty(w, k, n)
        padded = x.new_zeros(blocks[0].stop, len(x), n)
        for c in blocks:
            t, y, g = inputs[:, c], mixed[c], dz[c]
            x0, x1, v = _short(t, w.taps[:, :, c], w.of_thirds(w.short_bias)[:, c], len(k))
            torch.mul(x0, y, out=gated[c])
            du = torch.empty_like(t)
            torch.mul(g, y, out=du[0])
            g.mul_(x0)
            back = sums.convolved(g, spectra[c], c, padded).addcmul_(g, w.skip[c, None, None])
            torch.sum(_hide(g.mul_(v).mul_(x1), real), (1, 2), out=sums.skip[c])
            torch.mul(_hide(back, real), v, out=du[1])
            torch.mul(back, x1, out=du[2])
            _hide(_short_back(du, t, w.taps[:, :, c], sums, c, out=dt[:, c]), real)
        by_channel = dt.view(len(w.inner), -1)
        dx = torch.mm(by_channel.t(), w.inner).view_as(x)
        inner, out = product(by_channel, rows.t()), product(gated.flatten(1), grad.t()).t()
        short = sums.taps.flatten(1).t().unsqueeze(1)
        of_weights = (inner, by_channel.sum(1), short, sums.bias.flatten(), sums.skip, out, grad.sum(0))
        return dx, filter_gradient(sums.products, sums.products.conj(), n=n, like=k), None, *of_weights


class _Sums(NamedTuple):
    """What is summed over sequences and places in the backward pass, and what that needs of the filter.

    Attributes:
        sides: S.
        k_f: conjugate of the filter's transform, [D, 1, n / 2 + 1].
        products: of transforms, [D, n / 2 + 1].
        skip: [D].
        taps: [K, 3, D].
        bias: of the short convolution, [3, D].
    """

    sides: int
    k_f: Tensor
    products: Tensor
    skip: Tensor
    taps: Tensor
    bias: Tensor

    @classmethod
    def empty(cls, w: HyenaWeights, k: Tensor, n: int) -> _Sums:
        """Before the first channel."""
        k_f, taps = spectrum(k, n).conj().resolve_conj(), torch.empty_like(w.taps[..., 0, 0])
        products, skip, bias = torch.empty_like(k_f), torch.empty_like(w.skip), torch.empty_like(taps[0])
        return cls(len(k), k_f[:, None], products, skip, taps, bias)

    def convolved(self, g: Tensor, f: Tensor, c: slice, padded: Tensor) -> Tensor:
        """Gradient [c, B, L] of what the filter reads, from that of what it gives; f transforms the former.

        Args:
            g: [c, B, L].
            f: [c, B, n / 2 + 1].
            c: the channels.
            padded: scratch of zeros from L on, [.., B, n].
        """
        length, n, room = g.shape[-1], padded.shape[-1], padded[: len(g)]
        room[..., :length] = g
        g_f = torch.fft.rfft(room)
        torch.sum(f.conj() * g_f, 1, out=self.products[c])
        return torch.fft.irfft(g_f.mul_(self.k_f[c]), n=n)[..., :length]


def _blocks(b: int, length: int, d: int) -> Sequence[slice]:
    """Channels that are handled together.

    >>> _blocks(8, 256, 64)
    [slice(0, 32, None), slice(32, 64, None)]
    """
    size = min(d, max(1, BLOCK_BYTES // (4 * b * length)))
    return [slice(start, min(start + size, d)) for start in range(0, d, size)]


def _hide(x: Tensor, real: Tensor | None) -> Tensor:
    """Zeros in place at the padding of [.., B, L]."""
    return x if real is None else x.mul_(real)


def _behind(tap: int, taps: int, sides: int) -> int:
    """How many places before the one it writes a tap of the short convolution reads."""
    return taps - 1 - tap - (0 if sides == 1 else (taps - 1) // 2)


def _reach(behind: int, length: int) -> tuple[slice, slice]:
    """Where such a tap writes, and where it reads."""
    start, stop = max(0, behind), max(0, min(length, length + behind))
    return slice(min(start, stop), stop), slice(min(start, stop) - behind, stop - behind)


def _short(t: Tensor, taps: Tensor, bias: Tensor, sides: int) -> Tensor:
    """The short convolution of [3, c, B, L]."""
    centre = _behind(0, len(taps), sides)  # the tap that reads where it writes
    u = torch.addcmul(bias, t, taps[centre])
    for tap in range(len(taps)):
        if tap != centre:
            there, here = _reach(_behind(tap, len(taps), sides), t.shape[-1])
            u[..., there].addcmul_(t[..., here], taps[tap])
    return u


def _short_back(du: Tensor, t: Tensor, taps: Tensor, sums: _Sums, c: slice, *, out: Tensor) -> Tensor:
    """Writes the gradient of what goes into the short convolution to `out`, [3, c, B, L], and those of its
    weights to `sums`."""
    torch.sum(du, (2, 3), out=sums.bias[:, c])
    centre = _behind(0, len(taps), sums.sides)
    torch.mul(du, taps[centre], out=out)
    for tap in range(len(taps)):
        there, here = _reach(_behind(tap, len(taps), sums.sides), t.shape[-1])
        torch.sum(du[..., there] * t[..., here], (2, 3), out=sums.taps[tap, :, c])
        if tap != centre:
            out[..., here].addcmul_(du[..., there], taps[tap])
    return out
