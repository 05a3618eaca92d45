"""Convolution with a filter as long as the sequence, by Fourier transforms in float32.

    y_t = sum over s <= t of k_(t-s) v_s,  two-sided also + sum over s >= t of r_(s-t) v_s

Sequence and filter are padded with zeros to n >= 2 L - 1 places, so that nothing wraps around; the filter for
the other side is the conjugate of a causal one's transform. PyTorch's own derivative of a real transform is a
complex one of twice the work; here it is a real one again, and the sequence's is kept from the forward pass.

Shapes: B sequences, D channels, L places, S = 1 or 2 sides, n places of the transform.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


@lru_cache
def fft_size(length: int) -> int:
    """The least n = 2^a 3^b 5^c that is 2 L - 1 or more; transforms of such sizes are fast.

    >>> [fft_size(length) for length in (1, 4, 256, 444)]
    [1, 8, 512, 900]
    """
    least = 2 * length - 1
    best = 1 << (least - 1).bit_length()
    odd = 1
    while odd < best:
        size = odd << max(0, (-(-least // odd) - 1).bit_length())
        best = min(best, size)
        odd = _next_odd(odd)
    return best


def _next_odd(value: int) -> int:
    """The next 3^b 5^c.

    >>> _next_odd(5)
    9
    """
    value += 2
    while True:
        rest = value
        for prime in (3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return value
        value += 2


def spectrum(k: Tensor, n: int) -> Tensor:
    """The transform of a filter [S, D, L]: [D, n / 2 + 1]."""
    transformed = torch.fft.rfft(k, n=n)
    return transformed[0] if len(k) == 1 else transformed[0] + transformed[1].conj()


def filter_gradient(inputs: Tensor, outputs: Tensor, *, n: int, like: Tensor) -> Tensor:
    """The gradient of a filter, [S, D, L], from transforms summed over sequences.

    Args:
        inputs: sum of conj(V) G, V and G the transforms of v and of y's gradient; [D, n / 2 + 1].
        outputs: its conjugate, for the other side.
        n: places.
        like: the filter.
    """
    sides = inputs[None] if len(like) == 1 else torch.stack((inputs, outputs))
    return torch.fft.irfft(sides, n=n)[..., : like.shape[-1]]


class LongConv(Function):
    """v [B, D, L] with filter k [S, D, L] to y [B, D, L]."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, k: Tensor) -> Tensor:
        n = fft_size(v.shape[-1])
        v_f = torch.fft.rfft(v, n=n)
        ctx.save_for_backward(v_f, k)
        ctx.n = n
        return torch.fft.irfft(v_f * spectrum(k, n), n=n)[..., : v.shape[-1]]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        v_f, k = ctx.saved_tensors
        n, length = ctx.n, grad_outputs[0].shape[-1]
        g_f = torch.fft.rfft(grad_outputs[0], n=n)
        dv = torch.fft.irfft(g_f * spectrum(k, n).conj(), n=n)[..., :length]
        product = (v_f.conj() * g_f).sum(0)
        return dv, filter_gradient(product, product.conj(), n=n, like=k)


_convolve: Any = torch.compiler.disable(LongConv.apply)
"""Outside of compiled code, as torch.compile has none for complex numbers."""


def long_conv(v: Tensor, k: Tensor) -> Tensor:
    """The convolution above; computed and returned in float32 or wider, whatever the precision around it.

    Args:
        v: [B, D, L].
        k: [1, D, L], causal, or [2, D, L], with the filter of the other side.

    Returns:
        [B, D, L].

    >>> long_conv(torch.tensor([[[1.0, 0.0, 2.0]]]), torch.tensor([[[3.0, 4.0, 5.0]]])).round().tolist()
    [[[3.0, 4.0, 11.0]]]
    """
    with torch.autocast(v.device.type, enabled=False):
        wide = torch.promote_types(v.dtype, torch.float32)
        return _convolve(v.to(wide), k.to(wide))
