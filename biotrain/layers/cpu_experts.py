"""Hand-made CPU kernels of SwiGLU layers and experts for float32 training, beside `biotrain.layers.cpu`.

The activation and its derivative are made `CHUNK` rows at a time, while the numbers are in the core's cache,
the derivative taking the memory of its input. Experts get as many rows as the router gives them. Where
products go to oneDNN (`cpu.onednn_is_faster`), it makes code and keeps half a megabyte for every number of
rows that it sees, so that it gets multiples of `STEP` up to `MOST` only, of rows sorted by expert; rests go
to torch's own product.

Shapes: N tokens, k experts of each, M = N k rows, D width, F inner width, E experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

from biotrain.layers.cpu import onednn_is_faster, product, weight_gradient

CHUNK = 128
"""Rows whose activation is made at once: many more leave the cache, fewer are many operations."""

STEP = 128
"""Of the numbers of rows that oneDNN gets for experts."""

MOST = 1024
"""Rows of an expert in one product: few are slow, as each product sorts the weights anew."""


class SwiGLU(Function):
    """x [N, D] up to gate and up [N, 2 F], silu(gate) * up, down to [N, D]; without biases."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
        slope = product(x, gate_up)
        inner = x.new_empty(len(x), down.shape[1])
        _swiglu(slope, inner)
        ctx.save_for_backward(x, gate_up, slope, inner, down)
        return product(inner, down)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, ...]:
        x, gate_up, slope, inner, down = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        change = _chain(slope, product(grad, down.t()))
        return product(change, gate_up.t()), weight_gradient(change, x), weight_gradient(grad, inner)


class Experts(Function):
    """Sum over a token's experts of weight x down(silu(gate(x)) * up(x)); see `kernels.expert_layers`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
    ) -> Tensor:
        n, k = chosen.shape
        order = chosen.flatten().argsort(stable=True)
        places = torch.empty_like(order)
        places[order] = torch.arange(n * k)
        ctx.sizes = torch.bincount(chosen.flatten(), minlength=len(gate_up)).tolist()
        rows = _gathered(x, order // k)
        y, inner, slopes = _forward(rows, ctx.sizes, (gate_up, down))
        ctx.save_for_backward(rows, order, places, weights, inner, y, gate_up, down, *slopes)
        return embedding_bag(places.view(n, k), y, mode="sum", per_sample_weights=weights)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        rows, order, places, weights, inner, y, gate_up, down, *slopes = ctx.saved_tensors
        n, k = weights.shape
        grad, bags = grad_outputs[0].contiguous(), torch.arange(n * k) // k
        to_weights = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad, y, places, torch.arange(0, n * k, k), bags, 0
        )
        grad = _gathered(grad, order // k, weights.flatten()[order])
        to_rows, *to_layers = _backward(grad, (rows, inner, slopes), ctx.sizes, (gate_up, down))
        to_x = embedding_bag(places.view(n, k), to_rows, mode="sum")
        return to_x, None, to_weights.view(n, k), *to_layers


def _forward(
    x: Tensor, sizes: Sequence[int], layers: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Outputs [M, D], inner values [M, F] and, piece by piece, their derivatives [.., 2 F] of rows [M, D].

    Args:
        x: rows of expert after expert.
        sizes: rows of each expert.
        layers: gate and up [E, 2 F, D], down [E, D, F].
    """
    gate_up, down = layers
    inner, y = x.new_empty(len(x), down.shape[2]), torch.empty_like(x)
    slopes = []
    for e, at in _pieces(sizes, onednn_is_faster()):
        slopes.append(_times(x[at], gate_up[e].t()))
        _swiglu(slopes[-1], inner[at])
        _times(inner[at], down[e].t(), out=y[at])
    return y, inner, slopes


def _backward(
    grad: Tensor,
    made: tuple[Tensor, Tensor, list[Tensor]],
    sizes: Sequence[int],
    layers: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of rows [M, D] and of both layers, from that of the outputs [M, D].

    Args:
        grad: of the outputs.
        made: rows, inner values and derivatives, whose memory is taken.
        sizes: as for `_forward`.
        layers: as there.
    """
    (x, inner, slopes), (gate_up, down) = made, layers
    to_x, to_gate_up, to_down = (torch.empty_like(like) for like in (x, gate_up, down))
    empty = set(range(len(sizes)))
    for (e, at), change in zip(_pieces(sizes, onednn_is_faster()), slopes):
        _chain(change, _times(grad[at], down[e]))
        _times(change, gate_up[e], out=to_x[at])
        keep = float(e not in empty)
        to_down[e].addmm_(grad[at].t(), inner[at], beta=keep)
        to_gate_up[e].addmm_(change.t(), x[at], beta=keep)
        empty.discard(e)
    for e in empty:
        to_gate_up[e] = to_down[e] = 0
    return to_x, to_gate_up, to_down


def _pieces(sizes: Sequence[int], by_onednn: bool) -> Iterator[tuple[int, slice]]:
    """Experts and their rows, or stretches of them as long as oneDNN gets them, and rests.

    >>> [(at.start, at.stop) for _, at in _pieces([1500, 40], True)]
    [(0, 1024), (1024, 1408), (1408, 1500), (1500, 1540)]
    >>> [(at.start, at.stop) for _, at in _pieces([1500, 40], False)]
    [(0, 1500), (1500, 1540)]
    """
    start = 0
    for expert, size in enumerate(sizes):
        stop = start + size
        while start < stop:
            rows = (by_onednn and min(MOST, (stop - start) // STEP * STEP)) or stop - start
            yield expert, slice(start, start + rows)
            start += rows


def _times(x: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """x weight, by the product that suits its rows."""
    if len(x) % STEP or not onednn_is_faster():
        return torch.mm(x, weight, out=out)
    y = product(x, weight.t())
    return y if out is None else out.copy_(y)


def _gathered(x: Tensor, rows: Tensor, weights: Tensor | None = None) -> Tensor:
    """These rows of x, times `weights`: sums of one each, a third of the time of `index_select`."""
    weights = None if weights is None else weights[:, None]
    return embedding_bag(rows[:, None], x, mode="sum", per_sample_weights=weights)


def _chain(slope: Tensor, grad: Tensor) -> Tensor:
    """Gradient of gate and up [N, 2 F], given that of the inner values [N, F]; over `slope`."""
    slope.view(len(slope), 2, -1).mul_(grad[:, None])
    return slope


def _swiglu(h: Tensor, y: Tensor) -> None:
    """Writes silu(a) b of the halves a, b of `h` to `y`, and over `h` its derivatives by a and by b.

    silu'(a) = s + a s (1 - s) with s = sigmoid(a): from a s to 1, as far as s says.
    """
    one, scratch = torch.tensor(1.0), y.new_empty(CHUNK, y.shape[1])
    gates, ups = h.chunk(2, -1)
    for a, b, out in zip(gates.split(CHUNK), ups.split(CHUNK), y.split(CHUNK)):
        silu = scratch[: len(a)]
        torch.mul(torch.sigmoid(a, out=out), a, out=silu)
        torch.lerp(silu, one, out, out=a).mul_(b)
        torch.mul(silu, b, out=out)
        b.copy_(silu)
