"""The selective scan of Mamba (arXiv:2312.00752, eq. 2 with section 3.2) in plain PyTorch.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t        y_t = sum over n of C_t h_t

A loop over time, in blocks that stay in a core's cache. Only the states between blocks are kept; the backward
pass computes those inside a block again. That is the whole trick: autograd over the same loop keeps every
state and every factor, N times the size of the layer's input each.

Shapes: B sequences, T tokens, D channels, N states of a channel, k tokens of a block, q rows of a group.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from biotrain.layers import cuda_kernels

BLOCK_T = 16
"""Tokens of a block; one state of every 16 is kept."""

STEP = 1 << 15
"""Numbers of a step of the loop (rows x N x D), fewer being all overhead and more leaving the cache."""


class Selective(NamedTuple):
    """What drives the states.

    Attributes:
        u: [B, T, D] inputs.
        dt: [B, T, D] step lengths, 0 or more; at 0 a token leaves the state as it is.
        a: [D, N], below 0.
        b: [B, T, N].
        c: [B, T, N].
    """

    u: Tensor
    dt: Tensor
    a: Tensor
    b: Tensor
    c: Tensor


def selective_scan(
    drive: Selective, *, starts: Tensor | None = None, state: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Runs the recurrence.

    Args:
        drive: of one floating-point type.
        starts: [B, T], True at tokens before which the state is forgotten.
        state: [B, N, D] before the first token, for generation; `None` = zeros, and then the last state is
            not given back.

    Returns:
        y [B, T, D], and the state after the last token where `state` was given.

    >>> u = torch.tensor([[[1.0], [0.0], [2.0]]])
    >>> one = torch.ones_like(u)
    >>> y, _ = selective_scan(Selective(u, one, torch.tensor([[-0.6931472]]), one, one))
    >>> y.flatten().tolist()
    [1.0, 0.5, 2.25]
    """
    if starts is None and state is None and (kernel := cuda_kernels.mamba1(drive, _whole)):
        return kernel(*drive), None
    first = None if state is None else state.clone()
    keep = None if starts is None else (~starts).to(drive.u.dtype)
    return _run(*drive, keep, first), first


def _whole(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The plain form of one document from its beginning."""
    return _run(u, dt, a, b, c, None, None)


class _Walk:
    """The inputs cut into groups of rows and blocks of tokens, with scratch for one block."""

    def __init__(self, drive: Selective, at: Tensor, keep: Tensor | None) -> None:
        self.drive, self.at, self.keep = drive, at, keep
        self.du = drive.dt * drive.u
        b, self.tokens, _ = drive.u.shape
        size = at.numel()
        rows = b if drive.u.is_cuda else min(b, max(1, STEP // size))
        self.groups = [slice(i, min(i + rows, b)) for i in range(0, b, rows)]
        self.blocks = [slice(i, min(i + BLOCK_T, self.tokens)) for i in range(0, self.tokens, BLOCK_T)]
        self.scratch = drive.u.new_empty(min(BLOCK_T, self.tokens) * rows * size)
        self._states = drive.u.new_empty((min(BLOCK_T, self.tokens) + 1) * rows * size)

    def part(self, x: Tensor, rows: slice, block: slice) -> Tensor:
        """[B, T, ..] to [k, q, ..]."""
        return x[rows, block].transpose(0, 1)

    def decay(self, rows: slice, block: slice) -> Tensor:
        """exp(dt A) [k, q, N, D], 0 where a document starts; valid until the next call."""
        dt = self.part(self.drive.dt, rows, block)
        out = self.scratch[: dt.shape[0] * dt.shape[1] * self.at.numel()].view(*dt.shape[:2], *self.at.shape)
        torch.mul(dt[:, :, None], self.at, out=out)
        out.exp_()
        if self.keep is not None:
            out.mul_(self.part(self.keep, rows, block)[:, :, None, None])
        return out

    def states(self, rows: slice, block: slice, first: Tensor, decay: Tensor) -> Tensor:
        """[k + 1, q, N, D], `first` [q, N, D] and the state after each token; valid until the next call."""
        k = len(decay)
        out = self._states[: (k + 1) * first.numel()].view(k + 1, *first.shape)
        out[0] = first
        b = self.part(self.drive.b, rows, block)
        torch.mul(self.part(self.du, rows, block)[:, :, None], b[..., None], out=out[1:])
        steps = out.unbind(0)
        for before, now, factor in zip(steps, steps[1:], decay.unbind(0)):
            now.addcmul_(factor, before)
        return out


class _Scan(Function):
    """See `selective_scan`; `last` [B, N, D] is overwritten by the state after the last token."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, keep: Tensor | None,
        last: Tensor | None,
    ) -> Tensor:  # fmt: skip
        drive, at = Selective(u, dt, a, b, c), a.t().contiguous()
        walk, y = _Walk(drive, at, keep), torch.empty_like(u)
        kept = []
        for rows in walk.groups:
            now = u.new_zeros(rows.stop - rows.start, *at.shape) if last is None else last[rows].clone()
            for block in walk.blocks:
                kept.append(now)
                states = walk.states(rows, block, now, walk.decay(rows, block))
                y[rows, block] = _over_n(walk.part(c, rows, block), states[1:]).transpose(0, 1)
                now = states[-1].clone()
            if last is not None:
                last[rows] = now
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(*drive, at, *kept)
        ctx.keep = keep
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        (grad,), (u, dt, a, b, c, at, *kept) = grad_outputs, ctx.saved_tensors
        walk = _Walk(Selective(u, dt, a, b, c), at, ctx.keep)
        empty = [torch.empty_like(x) for x in (u, u, at, b, c)]
        empty[2].zero_()
        grads = _Gradients(*empty)
        outer = torch.empty_like(walk.scratch)
        for number, rows in enumerate(walk.groups):
            carry: Tensor | None = None
            for place in reversed(range(len(walk.blocks))):
                block = walk.blocks[place]
                decay = walk.decay(rows, block)
                states = walk.states(rows, block, kept[number * len(walk.blocks) + place], decay)
                flow = outer[: decay.numel()].view_as(decay)
                carry = _reverse(walk.part(grad, rows, block), walk.part(c, rows, block), decay, carry, flow)
                grads.add(walk, (rows, block), grad, states, (decay, flow))
        grads.dt.addcmul_(u, grads.du)
        return grads.du.mul_(dt), grads.dt, grads.a.t(), grads.b, grads.c, None, None


_run: Any = torch.compiler.disable(_Scan.apply)


class _Gradients(NamedTuple):
    """By each input; `du` by dt u, `a` transposed [N, D]."""

    du: Tensor
    dt: Tensor
    a: Tensor
    b: Tensor
    c: Tensor

    def add(
        self, walk: _Walk, place: tuple[slice, slice], grad: Tensor, states: Tensor,
        decay_flow: tuple[Tensor, Tensor],
    ) -> None:  # fmt: skip
        """Writes a block's gradients, and adds to those by `a`; overwrites decay and flow.

        Args:
            walk: of the inputs.
            place: group of rows, block of tokens.
            grad: [B, T, D] by y.
            states: [k + 1, q, N, D].
            decay_flow: exp(dt A), and the gradient by each state, [k, q, N, D].
        """
        decay, flow = decay_flow
        dt, du, dy = (walk.part(x, *place)[:, :, None] for x in (walk.drive.dt, walk.du, grad))
        self.du[place] = _over_n(walk.part(walk.drive.b, *place), flow).transpose(0, 1)
        decay.mul_(states[:-1]).mul_(flow)  # the gradient by dt A
        self.b[place] = flow.mul_(du).sum(-1).transpose(0, 1)
        self.c[place] = torch.mul(states[1:], dy, out=flow).sum(-1).transpose(0, 1)
        self.a.add_(torch.mul(decay, dt, out=flow).sum((0, 1)))
        self.dt[place] = decay.mul_(walk.at).sum(2).transpose(0, 1)


def _reverse(dy: Tensor, c: Tensor, decay: Tensor, carry: Tensor | None, out: Tensor) -> Tensor:
    """The gradient by each state: g_t = C_t dy_t + decay_{t+1} g_{t+1}.

    Args:
        dy: [k, q, D].
        c: [k, q, N].
        decay: [k, q, N, D].
        carry: [q, N, D] what comes from the block after; `None` = nothing.
        out: [k, q, N, D] to write.

    Returns:
        What goes to the block before.
    """
    torch.mul(dy[:, :, None], c[..., None], out=out)
    steps, factors = out.unbind(0), decay.unbind(0)
    if carry is not None:
        steps[-1].add_(carry)
    for place in reversed(range(len(steps) - 1)):
        steps[place].addcmul_(factors[place + 1], steps[place + 1])
    return factors[0] * steps[0]


def _over_n(weights: Tensor, x: Tensor) -> Tensor:
    """Sum over n of weights [k, q, N] times x [k, q, N, D]: [k, q, D]."""
    k, q, n, d = x.shape
    return torch.bmm(weights.reshape(k * q, 1, n), x.reshape(k * q, n, d)).view(k, q, d)
