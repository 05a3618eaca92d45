"""Causal attention in float32 on the CPU, some sequences and a block of queries at a time, with its gradient.

The weights of a block stay in cache and are kept for the backward pass; keys that no query of the block sees
cost nothing. Heads that share keys are computed together, so keys are never repeated; queries and keys turn
to their places while they are in cache. Documents of packed rows are sequences like others.

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

BLOCK_BYTES = 1 << 19
"""Size of a block's weights, for which sequences of equal length are computed together."""


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

    Takes qkv [N, C d], its layout, and cosines and sines of rotary positions or `None`: [N, d / 2], or
    [t, d / 2] for sequences all of t tokens. Gives [N, H d].
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: Layout, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        y = qkv.new_empty(len(qkv), qkv.shape[1] // sum(layout.parts) * layout.heads)
        hidden, kept = _hidden(qkv, layout), []
        for chunk in _chunks(layout, cos, sin):
            q, k, v = chunk.read(qkv, layout)
            out = chunk.seen(y, layout.heads)
            for first, start, stop in chunk.blocks(layout.window):
                block = _together(q, layout.groups, start, stop)
                p = qkv.new_empty(len(k), block.shape[1], stop - first)
                torch.baddbmm(p, block, k[:, first:stop].mT, beta=0, alpha=layout.scale, out=p)
                _hide(p.view(-1, stop - start, stop - first), hidden)
                torch.softmax(p, -1, out=p)
                part = out[:, :, start:stop]
                part.copy_(torch.bmm(p, v[:, first:stop]).view(part.shape))
                kept.append(p)
        ctx.save_for_backward(qkv, cos, sin, *kept)
        ctx.layout = layout
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        qkv, cos, sin, *kept = ctx.saved_tensors
        layout, weights = ctx.layout, iter(kept)
        grad, result = grad_outputs[0].contiguous(), torch.empty_like(qkv)
        scratch = qkv.new_empty(max(p.numel() for p in kept))
        for chunk in _chunks(layout, cos, sin):
            values, outer = chunk.read(qkv, layout), chunk.seen(grad, layout.heads)
            sums = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in values]
            for block in chunk.blocks(layout.window):
                p = next(weights)
                _Block(*block, p, scratch[: p.numel()].view(p.shape)).add_gradients(
                    values, outer, sums, layout
                )
            places = chunk.seen(result, sum(layout.parts)).split(layout.parts, 1)
            for place, x, turn in zip(places, sums, (chunk.turn, chunk.turn, None)):
                _turn(x.view(place.shape), turn, out=place, back=True)
        return result, None, None, None


class _Turn(NamedTuple):
    """Cosines and sines for n sequences or for each of them alike, [n or 1, 1, t, d / 2]."""

    cos: Tensor
    sin: Tensor


class _Chunk(NamedTuple):
    """Sequences computed together.

    Attributes:
        rows: theirs.
        n: how many.
        t: tokens of each.
        turn: for their places, or `None`.
    """

    rows: slice
    n: int
    t: int
    turn: _Turn | None

    def seen(self, x: Tensor, heads: int) -> Tensor:
        """Their part of x [N, h d], as [n, h, t, d]."""
        return x[self.rows].view(self.n, self.t, heads, -1).transpose(1, 2)

    def read(self, qkv: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [n, H, t, d], keys and values [n G, t, d], turned."""
        q, k, v = self.seen(qkv, sum(layout.parts)).split(layout.parts, 1)
        if self.turn is not None:
            q, k = (_turn(x, self.turn, out=x.new_empty(x.shape), back=False) for x in (q, k))
        return q, k.flatten(0, 1), v.flatten(0, 1)

    def blocks(self, window: int) -> Iterator[tuple[int, int, int]]:
        """First key, first query and end of both, block by block."""
        for start in range(0, self.t, BLOCK_T):
            yield max(0, start + 1 - window) if window else 0, start, min(start + BLOCK_T, self.t)


class _Block(NamedTuple):
    """Queries `start` to `stop` with the keys from `first` on, and their weights p [n G, R S, keys]."""

    first: int
    start: int
    stop: int
    p: Tensor
    ds: Tensor

    def add_gradients(
        self, values: tuple[Tensor, ...], outer: Tensor, sums: list[Tensor], layout: Layout
    ) -> None:
        """Adds this block's part of the gradients of queries, keys and values."""
        first, start, stop, p, ds = self
        (q, k, v), (dq, dk, dv) = values, sums
        dk, dv, part = dk[:, first:stop], dv[:, first:stop], dq[:, :, start:stop]
        g = _together(outer, layout.groups, start, stop)
        torch.bmm(g, v[:, first:stop].mT, out=ds)
        torch.ops.aten._softmax_backward_data.out(ds, p, -1, torch.float32, grad_input=ds)
        torch.baddbmm(dv, p.mT, g, out=dv)
        torch.baddbmm(dk, ds.mT, _together(q, layout.groups, start, stop), alpha=layout.scale, out=dk)
        torch.mul(torch.bmm(ds, k[:, first:stop]).view(part.shape), layout.scale, out=part)


def _chunks(layout: Layout, cos: Tensor | None, sin: Tensor | None) -> Iterator[_Chunk]:
    """As many neighbours of equal length as belong together, sequence after sequence."""
    begin = 0
    for t, same in groupby(layout.sizes):
        rest = len(list(same))
        most = max(1, BLOCK_BYTES // (4 * layout.heads * min(BLOCK_T, t) * t))
        while rest:
            n = min(most, rest)
            rows, turn = slice(begin, begin + n * t), None
            if cos is not None and sin is not None:
                places = slice(0, t) if len(cos) == t else rows
                turn = _Turn(*(x[places].view(-1, 1, t, x.shape[1]) for x in (cos, sin)))
            yield _Chunk(rows, n, t, turn)
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


def _together(x: Tensor, groups: int, start: int, stop: int) -> Tensor:
    """A block of [n, H, t, d], heads with the same keys together: [n G, R S, d]."""
    n, heads, _, width = x.shape
    return x[:, :, start:stop].reshape(n * groups, heads // groups * (stop - start), width)


def _turn(x: Tensor, turn: _Turn | None, *, out: Tensor, back: bool) -> Tensor:
    """Writes [n, h, t, d] to `out`, pairs (i, i + d / 2) rotated to their places, or back."""
    if turn is None:
        return out.copy_(x)
    (first, second), (one, other), sign = x.chunk(2, -1), out.chunk(2, -1), -1 if back else 1
    torch.mul(first, turn.cos, out=one).addcmul_(second, turn.sin, value=-sign)
    torch.mul(second, turn.cos, out=other).addcmul_(first, turn.sin, value=sign)
    return out
