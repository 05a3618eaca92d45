"""CPU kernels of attention, RMSNorm and SwiGLU: values and gradients are those of the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from biotrain.layers import cpu, cpu_attention
from biotrain.layers.cpu_attention import CausalAttention, Layout
from biotrain.layers.cpu_experts import SwiGLU
from biotrain.layers.positions import Rope, rope_table, rotate


def check(kernel: Callable[..., Tensor], formula: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    wide = [x.detach().double().requires_grad_() for x in inputs]
    found, expected = kernel(*inputs), formula(*wide)
    outer = torch.randn(found.shape, generator=torch.Generator().manual_seed(9))
    pairs = zip(
        torch.autograd.grad(found, inputs, outer), torch.autograd.grad(expected, wide, outer.double())
    )
    for a, b in [(found, expected), *pairs]:
        torch.testing.assert_close(a.double(), b, atol=2e-6 * b.detach().abs().max().item(), rtol=1e-5)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def attention(qkv: Tensor, layout: Layout, rope: Rope | None) -> Tensor:
    """One sequence after the other, under a mask, keys repeated."""
    found = []
    for part in qkv.split(list(layout.sizes)):
        x = part.unflatten(1, (sum(layout.parts), -1))
        turned, v = x[:, : -layout.groups], x[:, -layout.groups :]
        if rope is not None:
            turned = rotate(turned, Rope(*(table[: len(x)].double() for table in rope)))
        each = (turned[:, : layout.heads], turned[:, layout.heads :], v)
        q, k, v = (y.transpose(0, 1).repeat_interleave(layout.heads // y.shape[1], 0) for y in each)
        distance = torch.arange(len(x))[:, None] - torch.arange(len(x))
        seen = (distance >= 0) & (distance < (layout.window or len(x)))
        scores = (q @ k.mT * layout.scale).masked_fill(~seen, -torch.inf)
        found.append((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))
    return torch.cat(found)


@pytest.mark.parametrize("sizes", [(50, 50, 50), (7, 1, 33, 33, 8, 16, 20)])
@pytest.mark.parametrize("window", [0, 1, 5, 24, 100])
@pytest.mark.parametrize(("heads", "groups"), [(2, 2), (6, 2)])
@pytest.mark.parametrize("turning", [False, True])
def test_attention(
    sizes: tuple[int, ...],
    window: int,
    heads: int,
    groups: int,
    turning: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_attention, "BLOCK_T", 16)
    monkeypatch.setattr(
        cpu_attention, "BLOCK_BYTES", 4 * heads * 16 * 50 * 2
    )  # two sequences of 50 at a time
    layout = Layout(heads, groups, 0.3, sizes, window)
    rope = rope_table(torch.arange(max(sizes)), width=8, base=100.0) if turning else None
    turn = (None, None)
    if rope is not None and len(set(sizes)) == 1:
        turn = tuple(table[:, 0, :4] for table in rope)
    elif rope is not None:
        turn = tuple(torch.cat([table[:size, 0, :4] for size in sizes]) for table in rope)
    qkv = noise(sum(sizes), 8 * sum(layout.parts))
    check(lambda x: CausalAttention.apply(x, layout, *turn), lambda x: attention(x, layout, rope), [qkv])


def test_rms_norm() -> None:
    def formula(x: Tensor, weight: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight

    check(lambda x, w: cpu.RMSNorm.apply(x, w, 1e-5), formula, [noise(31, 12), noise(12, seed=1)])


def test_swiglu() -> None:
    def formula(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
        gate, up = (x @ gate_up.t()).chunk(2, -1)
        return (F.silu(gate) * up) @ down.t()

    check(SwiGLU.apply, formula, [noise(40, 12), noise(36, 12, seed=1), noise(12, 18, seed=2)])
