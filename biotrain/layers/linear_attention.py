"""Linear attention of Based (arXiv:2402.18668, section 4): Taylor's polynomial of the exponential.

    y_i = sum over j of p(q_i k_j) v_j / sum over j of p(q_i k_j), p(s) = 1 + s + s^2 / 2, s = q k / sqrt(d')

p(q k) = phi(q) phi(k) with phi(x) = (1, x / d'^(1/4), the products x_a x_b with a <= b): of the paper's
1 + d' + d'^2 numbers equal ones are joined, 153 instead of 273 for d' = 16. p is at least 1/2, so nothing is
divided by zero. The sum over earlier tokens is one state of phi x (width of values + 1) numbers, which is all
that generation remembers.

Shapes: N sequences, H heads, L tokens, d' features, E width of values, P = 1 + d' + d' (d' + 1) / 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from biotrain.layers import cuda_kernels
from biotrain.layers.cpu_taylor import TaylorAttention
from biotrain.layers.kernels import use_kernels

QUADRATIC = 512
"""Tokens up to which all pairs are computed: fewer operations than by way of the states."""

CHUNK = 128
"""Tokens that are computed pair by pair where there are more, between states."""


def taylor_features(x: Tensor) -> Tensor:
    """phi: [.., d'] to [.., P].

    >>> q, k = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -1.0]])
    >>> s = (q * k).sum() / 2**0.5
    >>> bool(torch.isclose((taylor_features(q) * taylor_features(k)).sum(), 1 + s + s * s / 2))
    True
    """
    width = x.shape[-1]
    x = x * width**-0.25
    first, second = torch.triu_indices(width, width, device=x.device)
    # products with these, as the backward pass of x[..., first] adds up number by number
    one, other = F.one_hot(torch.stack((first, second)), width).to(x.dtype)
    one = one * x.new_ones(len(first), 1).masked_fill((first == second)[:, None], math.sqrt(0.5))
    return torch.cat((torch.ones_like(x[..., :1]), x, (x @ one.t()) * (x @ other.t())), -1)


def taylor_attention(q: Tensor, k: Tensor, v: Tensor, *, real: Tensor | None, causal: bool) -> Tensor:
    """The formula above, in float32 or wider whatever the precision around it.

    Args:
        q: [N, H, L, d'].
        k: the same.
        v: [N, H, L, E].
        real: [N, L], True at real tokens, `None` = all; only a two-sided one looks at it, as padding stands
            on the right.
        causal: sum over j <= i instead of all j.

    Returns:
        [N, H, L, E].
    """
    with torch.autocast(q.device.type, enabled=False):
        wide = torch.promote_types(q.dtype, torch.float32)
        q, k, v = q.to(wide), k.to(wide), v.to(wide)
        if causal and (kernel := cuda_kernels.taylor(q, v, _causal_pairs)) is not None:
            return kernel(q, k, v)
        if q.shape[2] <= QUADRATIC:
            if causal and use_kernels(v.transpose(1, 2).flatten(2)):
                return TaylorAttention.apply(q, k, v)
            return _all_pairs(q, k, v, real=real, causal=causal)
        if not causal:
            state = _state(k, v, real)
            return _divide(taylor_features(q) @ state)
        return _by_chunks(q, k, v)


def taylor_step(q: Tensor, k: Tensor, v: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Tokens that follow on others.

    Args:
        q: [N, H, t, d'].
        k: the same.
        v: [N, H, t, E].
        state: [N, H, P, E + 1] of what came before; `None` = nothing.

    Returns:
        [N, H, t, E], and the state after them.
    """
    added = _state(k, v, None)
    state = torch.zeros_like(added) if state is None else state
    sums = _polynomial(q, k).tril() @ _with_ones(v) + taylor_features(q) @ state
    return _divide(sums), state + added


def _polynomial(q: Tensor, k: Tensor) -> Tensor:
    """p of every pair, [.., L, L]."""
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return 1 + s + s * s / 2


def _all_pairs(q: Tensor, k: Tensor, v: Tensor, *, real: Tensor | None, causal: bool) -> Tensor:
    weights = _polynomial(q, k)
    if causal:
        weights = weights.tril()
    elif real is not None:
        weights = weights * real[:, None, None]
    return _divide(weights @ _with_ones(v))


def _causal_pairs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _all_pairs(q, k, v, real=None, causal=True)


def _by_chunks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    length = q.shape[2]
    q, k, v = (_chunks(x) for x in (q, k, _with_ones(v)))
    states = taylor_features(k).mT @ v
    before = states.cumsum(2) - states
    sums = _polynomial(q, k).tril() @ v + taylor_features(q) @ before
    return _divide(sums.flatten(2, 3)[:, :, :length])


def _chunks(x: Tensor) -> Tensor:
    """[N, H, L, C] to [N, H, chunks, CHUNK, C], zeros at the end."""
    x = F.pad(x, (0, 0, 0, -x.shape[2] % CHUNK))
    return x.unflatten(2, (-1, CHUNK))


def _state(k: Tensor, v: Tensor, real: Tensor | None) -> Tensor:
    """The sum of phi(k) (v, 1), [N, H, P, E + 1]."""
    v = _with_ones(v)
    return taylor_features(k).mT @ (v if real is None else v * real[:, None, :, None])


def _with_ones(v: Tensor) -> Tensor:
    """Values with a column of ones, for the sum of the weights."""
    return torch.cat((v, torch.ones_like(v[..., :1])), -1)


def _divide(sums: Tensor) -> Tensor:
    """By the sum of the weights, 1/2 or more but where nothing is real: there the result is zero, not NaN."""
    return sums[..., :-1] / sums[..., -1:].clamp(min=0.25)
