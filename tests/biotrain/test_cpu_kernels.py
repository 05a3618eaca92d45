"""CPU kernels: values and gradients are those of the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from biotrain.layers import cpu, cpu_attention, cpu_experts
from biotrain.layers.cpu_attention import Layout
from biotrain.layers.cpu_experts import CHUNK, MOST, STEP, Experts, SwiGLU
from biotrain.layers.kernels import causal_attention
from biotrain.layers.positions import Rope, rope_table, rotate


@pytest.fixture(autouse=True, params=[True, False], ids=["onednn", "torch"])
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Products by either library, whatever this machine would take."""
    for module in (cpu, cpu_experts):
        monkeypatch.setattr(module, "onednn_is_faster", lambda: request.param)
    return request.param


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
    rope = whole = rope_table(torch.arange(max(sizes)), width=8, base=100.0) if turning else None
    if rope is not None and len(set(sizes)) > 1:
        rope = Rope(*(torch.cat([table[:size] for size in sizes])[None] for table in rope))
    torch.manual_seed(0)
    layer = torch.nn.Linear(12, 8 * sum(layout.parts))
    check(
        lambda x, weight, bias: causal_attention(x[None], layer, layout, rope)[0],
        lambda x, weight, bias: attention(F.linear(x, weight, bias), layout, whole),
        [noise(sum(sizes), 12), layer.weight, layer.bias],
    )


def test_rms_norm() -> None:
    def formula(x: Tensor, weight: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight

    check(lambda x, w: cpu.RMSNorm.apply(x, w, 1e-5), formula, [noise(31, 12), noise(12, seed=1)])


def swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    gate, up = (x @ gate_up.t()).chunk(2, -1)
    return (F.silu(gate) * up) @ down.t()


@pytest.mark.parametrize("rows", [40, CHUNK, 2 * CHUNK + 1])
def test_swiglu(rows: int) -> None:
    check(SwiGLU.apply, swiglu, [noise(rows, 12), noise(36, 12, seed=1), noise(12, 18, seed=2)])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_experts(share: float) -> None:
    """A share of the tokens chooses by chance, the others the last two of four: long and short
    pieces, rests, none."""
    tokens, k = 2 * MOST + 30, 2
    drawn = torch.Generator().manual_seed(3)
    chosen = torch.rand(tokens, 4, generator=drawn).topk(k).indices
    chosen[int(share * tokens) :] = torch.tensor([3, 2])

    def formula(x: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
        every = torch.stack([swiglu(x, *layers) for layers in zip(gate_up, down)], 1)
        return (every.take_along_dim(chosen[..., None], 1) * weights[..., None]).sum(1)

    inputs = [noise(tokens, 12), noise(tokens, k, seed=4), noise(4, 36, 12, seed=1), noise(4, 12, 18, seed=2)]
    check(lambda x, weights, *layers: Experts.apply(x, chosen, weights, *layers), formula, inputs)
    assert not share or len(chosen.unique()) == 4


def test_experts_give_onednn_few_numbers_of_rows(monkeypatch: pytest.MonkeyPatch, maker: bool) -> None:
    """It keeps memory for each that it sees, and how many come to an expert is never twice the same."""
    seen = []

    def watched(x: Tensor, weight: Tensor) -> Tensor:
        seen.append(len(x))
        return cpu.product(x, weight)

    monkeypatch.setattr(cpu_experts, "product", watched)
    chosen = torch.cat((torch.zeros(MOST + STEP + 9, 1), torch.ones(2 * STEP + 7, 1))).long()
    x, weights = noise(len(chosen), 12), torch.ones(len(chosen), 1)
    Experts.apply(x, chosen, weights, noise(2, 36, 12), noise(2, 12, 18)).sum().backward()
    if not maker:
        assert not seen
        return
    forward, backward = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert forward == backward == [MOST, MOST, STEP, STEP, 2 * STEP, 2 * STEP]  # each by two layers


def test_products_of_either_library() -> None:
    x, weight, bias = noise(5, 12).detach(), noise(7, 12, seed=1).detach(), noise(7, seed=2).detach()
    expected = x.double() @ weight.double().t() + bias.double()
    torch.testing.assert_close(cpu.product(x, weight, bias).double(), expected, atol=1e-5, rtol=0)
