"""The scan of Mamba-2 in its chunked form (arXiv:2405.21060, section 6), all matrix products.

    h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t^T        y_t = h_t C_t

A is one number for all channels of a head, so inside a chunk y is an attention without softmax, whose weights
fall by the steps between two tokens; what came before the chunk enters by one state.

Shapes: B sequences, T tokens, H heads, P channels of a head, N states, S chunks of K tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from biotrain.layers import cuda_kernels

CHUNK = 64
"""Tokens of a chunk; the result does not depend on it."""


class Chunked(NamedTuple):
    """What drives the states.

    Attributes:
        u: [B, T, H, P] inputs.
        dt: [B, T, H] step lengths, 0 or more; at 0 a token leaves the state as it is.
        a: [H], below 0.
        b: [B, T, N], the same for all heads, as c.
        c: [B, T, N].
    """

    u: Tensor
    dt: Tensor
    a: Tensor
    b: Tensor
    c: Tensor


def chunked_scan(
    drive: Chunked, *, starts: Tensor | None = None, state: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Runs the recurrence.

    Args:
        drive: of one floating-point type.
        starts: [B, T], True at tokens before which the state is forgotten.
        state: [B, H, P, N] before the first token, for generation; `None` = zeros, and then the last state is
            not given back.

    Returns:
        y [B, T, H, P], and the state after the last token where `state` was given.

    >>> u = torch.tensor([1.0, 0.0, 2.0]).view(1, 3, 1, 1)
    >>> one = torch.ones(1, 3, 1)
    >>> y, _ = chunked_scan(Chunked(u, one, torch.tensor([-0.6931472]), one, one))
    >>> y.flatten().tolist()
    [1.0, 0.5, 2.25]
    """
    if starts is None and state is None and (kernel := cuda_kernels.mamba2(drive, _whole, chunk=CHUNK)):
        return kernel(*drive), None
    return _plain(drive, starts, state)


def _whole(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The plain form of one document from its beginning."""
    return _plain(Chunked(u, dt, a, b, c), None, None)[0]


def _plain(drive: Chunked, starts: Tensor | None, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
    b, t, h, p = drive.u.shape
    size = min(CHUNK, t)
    x = _chunks(drive.u * drive.dt[..., None], size).permute(0, 1, 3, 2, 4)  # [B, S, H, K, P]
    left, right = _chunks(drive.b, size), _chunks(drive.c, size)
    fall = _chunks(drive.dt * drive.a, size).transpose(2, 3).cumsum(-1)  # [B, S, H, K], log
    document = None if starts is None else _chunks(starts.long(), size).cumsum(-1)[:, :, None]
    y = ((right @ left.mT)[:, :, None] * _within(fall, document)) @ x
    rest, through, into = _across(fall, document)
    added = ((x * rest[..., None]).transpose(3, 4).flatten(2, 3) @ left).view(b, -1, h, p, left.shape[-1])
    before, last = _carry(added, through, state)
    y = y + (right[:, :, None] @ before.mT) * into[..., None]
    return y.transpose(2, 3).reshape(b, -1, h, p)[:, :t], None if state is None else last


def _chunks(x: Tensor, size: int) -> Tensor:
    """[B, T, ..] to [B, S, K, ..], zeros added at the end."""
    missing = -x.shape[1] % size
    if missing:
        x = F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing))
    return x.unflatten(1, (-1, size))


def _within(fall: Tensor, document: Tensor | None) -> Tensor:
    """[B, S, H, K, K] what is left of token j at token i of its chunk; 0 in another document or later."""
    steps = fall[..., :, None] - fall[..., None, :]
    allowed = torch.ones(steps.shape[-2:], dtype=torch.bool, device=fall.device).tril()
    if document is not None:
        allowed = allowed & (document[..., :, None] == document[..., None, :])
    return steps.masked_fill(~allowed, -torch.inf).exp()


def _across(fall: Tensor, document: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """By how much the state falls, 0 where a document starts between.

    Returns:
        From each token to the chunk's end [B, S, H, K], through the chunk [B, S, H], from its beginning to
        each token [B, S, H, K].
    """
    rest, into = (fall[..., -1:] - fall).exp(), fall.exp()
    if document is not None:
        rest = rest * (document == document[..., -1:])
        into = into * (document == 0)
    return rest, into[..., -1], into


def _carry(added: Tensor, through: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """States [B, S, H, P, N] before each chunk, and after the last one [B, H, P, N].

    Args:
        added: [B, S, H, P, N] by each chunk.
        through: [B, S, H], what a chunk leaves of the state before it.
        state: [B, H, P, N] at the beginning; `None` = zeros.
    """
    now, before = torch.zeros_like(added[:, 0]) if state is None else state, []
    for new, factor in zip(added.unbind(1), through.unbind(1)):
        before.append(now)
        now = torch.addcmul(new, factor[..., None, None], now)
    return torch.stack(before, 1), now
