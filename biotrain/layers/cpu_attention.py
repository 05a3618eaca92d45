"""Causal attention in float32 on the CPU, some sequences and a block of queries at a time, with its gradient.

The weights of a block stay in cache and are kept for the backward pass, as are queries, keys and values as
they were read; keys that no query of the block sees cost nothing. Heads that share keys are computed
together, so keys are never repeated; queries and keys turn to their places as they are read, each pair of
neighbours one complex number. Documents of packed rows are sequences like others.

Shapes: N rows (tokens of all sequences), n sequences of t tokens computed together, H heads, G groups of
keys, C = H + 2 G, d width of a head, S queries of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

BLOCK_T = 64
"""Queries of a head that are handled together."""

BLOCK_BYTES = 1 << 21
"""Size of a block's weights, for which sequences of equal length are computed together: few blocks are few
operations."""


class Layout(NamedTuple):
    """What lies in the rows.

    Attributes:
        heads: H.
        groups: G.
        scale: of the scores.
        sizes: tokens of each sequence; together N.
        window: keys that a query sees, itself included; 0 = all before it.
    """

    heads: int
    groups: int
    scale: float
    sizes: Sequence[int]
    window: int = 0

    @property
    def parts(self) -> tuple[int, int, int]:
        """Heads of queries, of keys and of values."""
        return self.heads, self.groups, self.groups

    @property
    def weights(self) -> int:
        """About how many attention weights are kept for the backward pass."""
        seen = (
            min(size, self.window + BLOCK_T) if self.window else (size + BLOCK_T) // 2 for size in self.sizes
        )
        return sum(self.heads * size * keys for size, keys in zip(self.sizes, seen))


class CausalAttention(Function):
    """softmax(q k^T scale) v over the keys up to the query.

    Takes qkv [N, C d], its layout, and by how much queries and keys turn or `None`: e^(i angle) for each pair
    of neighbours, [N, d / 2], or [t, d / 2] for sequences all of t tokens. Gives [N, H d].
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: Layout, turn: Tensor | None) -> Tensor:
        y = qkv.new_empty(len(qkv), qkv.shape[1] // sum(layout.parts) * layout.heads)
        hidden, kept = _hidden(qkv, layout), []
        for chunk in _chunks(layout, turn):
            inputs, out = chunk.parts(qkv, layout.parts), chunk.parts(y, (layout.heads,))[0]
            k, v = chunk.keys(inputs)
            kept += k, v
            for first, start, stop in chunk.blocks(layout.window):
                q = chunk.queries(inputs[0], layout, slice(start, stop))
                p = qkv.new_empty(len(k), q.shape[1], stop - first)
                torch.bmm(q, k[:, first:stop].mT, out=p)
                _hide(p.view(-1, stop - start, stop - first), hidden)
                torch.softmax(p, -1, out=p)
                part = out[:, :, start:stop]
                part.copy_(torch.bmm(p, v[:, first:stop]).view(part.shape))
                kept += q, p
        ctx.save_for_backward(turn, *kept)
        ctx.layout = layout
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        turn, *kept = ctx.saved_tensors
        layout, kept = ctx.layout, iter(kept)
        grad = grad_outputs[0].contiguous()
        result = grad.new_empty(len(grad), grad.shape[1] // layout.heads * sum(layout.parts))
        for chunk in _chunks(layout, turn):
            places, outer = chunk.parts(result, layout.parts), chunk.parts(grad, (layout.heads,))[0]
            k, v = next(kept), next(kept)
            dk, dv = torch.zeros_like(k), torch.zeros_like(v)
            for first, start, stop in chunk.blocks(layout.window):
                (q, p), near, here = (next(kept), next(kept)), slice(first, stop), slice(start, stop)
                g = _together(outer[:, :, here], layout.groups)
                ds = torch.bmm(g, v[:, near].mT)
                torch.ops.aten._softmax_backward_data.out(ds, p, -1, torch.float32, grad_input=ds)
                dv[:, near].baddbmm_(p.mT, g)
                dk[:, near].baddbmm_(ds.mT, q)
                dq = torch.bmm(ds, k[:, near]).view(outer[:, :, here].shape)
                _turn(dq, chunk.turn_back(here), layout.scale, out=places[0][:, :, here])
            _turn(dk.view(places[1].shape), chunk.turn_back(), out=places[1])
            places[2].copy_(dv.view(places[2].shape))
        return result, None, None


class _Chunk(NamedTuple):
    """Sequences computed together.

    Attributes:
        rows: theirs.
        n: how many.
        t: tokens of each.
        turn: for their places, [n, 1, t, d / 2], or [1, 1, t, d / 2] for all of them alike; or `None`.
    """

    rows: slice
    n: int
    t: int
    turn: Tensor | None

    def parts(self, x: Tensor, heads: Sequence[int]) -> Sequence[Tensor]:
        """Their part of x [N, h d], cut into so many heads each, as [n, h, t, d]."""
        return x[self.rows].view(self.n, self.t, sum(heads), -1).transpose(1, 2).split(heads, 1)

    def queries(self, x: Tensor, layout: Layout, here: slice) -> Tensor:
        """Some of [n, H, t, d], turned and scaled, heads with the same keys together: [n G, R S, d]."""
        x, turn = x[:, :, here], None if self.turn is None else self.turn[:, :, here]
        return _together(_turn(x, turn, layout.scale, out=x.new_empty(x.shape)), layout.groups)

    def keys(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Keys, turned, and values [n G, t, d]."""
        _, k, v = inputs
        return _turn(k, self.turn, out=k.new_empty(k.shape)).flatten(0, 1), v.flatten(0, 1)

    def turn_back(self, here: slice = slice(None)) -> Tensor | None:
        """The opposite turns of some places."""
        return None if self.turn is None else self.turn[:, :, here].conj()

    def blocks(self, window: int) -> Iterator[tuple[int, int, int]]:
        """First key, first query and end of both, block by block."""
        for start in range(0, self.t, BLOCK_T):
            yield max(0, start + 1 - window) if window else 0, start, min(start + BLOCK_T, self.t)


def _chunks(layout: Layout, turn: Tensor | None) -> Iterator[_Chunk]:
    """As many neighbours of equal length as belong together, sequence after sequence."""
    begin = 0
    for t, same in groupby(layout.sizes):
        rest = len(list(same))
        most = max(1, BLOCK_BYTES // (4 * layout.heads * min(BLOCK_T, t) * t))
        while rest:
            n = min(most, rest)
            rows, place = slice(begin, begin + n * t), turn
            if turn is not None:
                place = turn[slice(0, t) if len(turn) == t else rows].view(-1, 1, t, turn.shape[1])
            yield _Chunk(rows, n, t, place)
            begin, rest = begin + n * t, rest - n


def _hidden(like: Tensor, layout: Layout) -> Tensor:
    """[S, keys]: 0 where a query of a whole block sees a key, else minus infinity; the last S keys are those
    of the queries themselves."""
    before = max(0, layout.window - 1)
    seen = like.new_full((BLOCK_T, before + BLOCK_T), -math.inf)
    hidden = seen.triu(before + 1)
    return hidden + seen.tril(-1) if layout.window else hidden


def _hide(p: Tensor, hidden: Tensor) -> None:
    """Adds minus infinity to the scores [.., S, keys] of what is not seen."""
    size, keys = p.shape[-2:]
    keys = min(keys, size + hidden.shape[1] - BLOCK_T)
    shift = hidden.shape[1] - BLOCK_T - (keys - size)
    p[..., -keys:].add_(hidden[:size, shift : shift + keys])


def _together(x: Tensor, groups: int) -> Tensor:
    """[n, H, S, d], heads with the same keys together: [n G, R S, d]."""
    return x.reshape(len(x) * groups, -1, x.shape[-1])


def _turn(x: Tensor, turn: Tensor | None, scale: float = 1.0, *, out: Tensor) -> Tensor:
    """Writes x [n, h, t, d] times `scale` to `out`, pairs of neighbours as complex numbers times `turn`."""
    if turn is None:
        return torch.mul(x, scale, out=out)
    torch.mul(_pairs(x), turn * scale, out=_pairs(out))
    return out


def _pairs(x: Tensor) -> Tensor:
    """[.., d] as [.., d / 2] complex numbers."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))
