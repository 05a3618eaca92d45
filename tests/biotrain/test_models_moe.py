"""Experts against a plain loop in float64, the router's losses against numbers by hand and Mixtral's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from biodata.dataset import open_dataset
from biotrain.config import TrainConfig
from biotrain.device import choose_hardware
from biotrain.lanes import Lanes
from biotrain.layers import kernels
from biotrain.layers.routing import Routing, load_extremes, router_losses
from biotrain.layers.transformer import Transformer
from biotrain.loader import Rows
from biotrain.loop import train
from biotrain.models import ModelConfig, MoEConfig, build_model
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step


def weights_of(experts: int, width: int, ffn: int) -> tuple[torch.Tensor, ...]:
    noise = torch.Generator().manual_seed(0)
    shapes = ((experts, 2 * ffn, width), (experts, width, ffn))
    return tuple(torch.randn(s, generator=noise).mul_(0.3).requires_grad_() for s in shapes)


def loop(x: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor, *layers: torch.Tensor) -> torch.Tensor:
    """Token by token, expert by expert, in float64."""
    gate_up, down = (layer.double() for layer in layers)
    rows = []
    for token in range(len(x)):
        y = torch.zeros(x.shape[1], dtype=torch.float64)
        for slot, expert in enumerate(chosen[token].tolist()):
            inner = gate_up[expert] @ x[token].double()
            gate, up = inner.chunk(2)
            y = y + weights[token, slot].double() * (down[expert] @ (gate * gate.sigmoid() * up))
        rows.append(y)
    return torch.stack(rows)


@pytest.mark.parametrize("width", [16, 18])  # 18 floats are no multiple of 16 bytes: no grouped_mm
@pytest.mark.parametrize("tokens", [5, 300])  # few take PyTorch's operations, many the CPU kernel
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_experts_equal_a_plain_loop(width: int, tokens: int, top_k: int) -> None:
    noise = torch.Generator().manual_seed(1)
    x = torch.randn(tokens, width, generator=noise, requires_grad=True)
    logits = torch.randn(tokens, 4, generator=noise)
    logits[:, 3] = -9  # an expert that nobody visits when fewer than 4 are taken
    largest, chosen = logits.topk(top_k, -1)
    weights = largest.softmax(-1).requires_grad_()
    layers, outer = weights_of(4, width, 12), torch.randn(tokens, width, generator=noise)
    inputs = (x, weights, *layers)
    ours = kernels.expert_layers(x, chosen, weights, *layers)
    theirs = loop(x, chosen, weights, *layers)
    torch.testing.assert_close(ours.double(), theirs, atol=2e-6, rtol=2e-5)
    a, b = (torch.autograd.grad(y, inputs, outer.to(y.dtype)) for y in (ours, theirs))
    for mine, exact in zip(a, b):
        torch.testing.assert_close(mine, exact, atol=2e-5, rtol=1e-4)


def test_kernel_equals_plain_operations_in_a_model() -> None:
    shape = ModelConfig(name="moe", layers=2, width=64, heads=4, kv_heads=2, ffn=48, context=150)
    model = build_model(shape, vocab_size=70, seed=1)
    ids = torch.randint(6, 70, (3, 150), generator=torch.Generator().manual_seed(2))

    def run() -> list[torch.Tensor]:
        loss = model(ids).square().mean()
        return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]

    fast = run()
    with kernels.plain_kernels():
        plain = run()
    for a, b in zip(fast, plain):
        torch.testing.assert_close(a, b, atol=2e-5 * float(b.abs().max()), rtol=1e-4)


def routing_of(logits: list[torch.Tensor], top_k: int, real: torch.Tensor | None = None) -> Routing:
    routing = Routing()
    for layer in logits:
        routing.add(layer, layer.topk(top_k, -1).indices, real)
    return routing


def losses_of(routing: Routing, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    return router_losses(routing, counts=torch.stack(routing.counts), tokens=routing.tokens, top_k=top_k)


def test_losses_by_hand() -> None:
    # three tokens, two experts, one each; probabilities 3/4 and 1/4, thrice in favour of the first
    logits = torch.tensor([[3.0, 1.0]] * 3).log()
    balance, z = losses_of(routing_of([logits], 1), 1)
    assert balance.item() == pytest.approx(2 / 3**2 * (2.25 * 3 + 0.75 * 0))  # E / (k T^2) (P1 n1 + P2 n2)
    assert z.item() == pytest.approx(np.log(4.0) ** 2)
    even = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
    assert losses_of(routing_of([even, even], 1), 1)[0].item() == pytest.approx(2.0)  # 1 a layer
    one = torch.tensor([[40.0, 39.0, -40.0, -40.0]] * 5)
    assert losses_of(routing_of([one], 2), 2)[0].item() == pytest.approx(2.0)  # E / k


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("padded", [False, True])
def test_balance_is_mixtral_s_with_the_documented_factor(top_k: int, padded: bool) -> None:
    mixtral = pytest.importorskip("transformers.models.mixtral.modeling_mixtral")
    noise = torch.Generator().manual_seed(3)
    logits = torch.randn(24, 6, generator=noise)
    mask = torch.ones(2, 12) if not padded else (torch.arange(12) < torch.tensor([[12], [5]])).float()
    real = mask.flatten().bool() if padded else None
    layers = 3  # of equal routing: Mixtral's pools all layers before it multiplies
    ours, _ = losses_of(routing_of([logits] * layers, top_k, real), top_k)
    theirs = mixtral.load_balancing_loss_func((logits,) * layers, 6, top_k, mask if padded else None)
    assert theirs.item() * layers / top_k == pytest.approx(ours.item(), rel=1e-5)


def test_load_of_the_busiest_and_the_idlest() -> None:
    counts = torch.tensor([[2.0, 2.0, 2.0], [6.0, 0.0, 3.0]])
    assert [value.item() for value in load_extremes(counts)] == [2.0, 0.0]


MOE = ModelConfig(
    name="moe", layers=2, width=32, heads=4, kv_heads=2, ffn=24, context=32,
    moe=MoEConfig(experts=4, balance_loss=0.5, z_loss=0.3),
)  # fmt: skip


def step_of(config: TrainConfig, lanes: int) -> tuple[Parts, Any, Rows]:
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    assert config.data is not None
    parts = replace(build_parts(config, open_dataset(config.data), hardware), lanes=Lanes(lanes))
    order = np.arange(16)
    rows = parts.train.rows(order)
    return parts, train_step(parts, rows, 1), rows


def documented_gradients(parts: Parts, model: Transformer, rows: Rows) -> dict[str, torch.Tensor]:
    """Of cross-entropy and router losses, as `MoEConfig` states them, of one micro-batch in one piece."""
    ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
    inputs, targets = parts.objective.prepare(ids, mask, torch.Generator())[:2]
    wanted, routing, moe = targets != -100, Routing(), MOE.moe
    assert moe is not None
    logits = model(inputs, mask=mask, rows=wanted, routing=routing)
    balance, z = losses_of(routing, moe.top_k)
    (F.cross_entropy(logits, targets[wanted]) + moe.balance_loss * balance + moe.z_loss * z).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_gradient_is_the_documented_one_in_any_number_of_lanes(
    tiny_config: Callable[..., TrainConfig], lanes: int
) -> None:
    config = tiny_config(model=MOE, batch_size=16)
    config = replace(config, optim=replace(config.optim, lr=0.0, weight_decay=0.0, clip_norm=0.0))
    parts, result, rows = step_of(config, lanes)
    found = {name: p.grad for name, p in parts.model.named_parameters()}
    model = build_model(MOE, vocab_size=parts.tokenizer.vocab_size, seed=config.seed)
    expected = documented_gradients(parts, model, rows)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)
    assert set(result.more) == {"balance_loss", "z_loss", "busiest_expert", "idlest_expert"}


def test_a_broken_lane_does_not_leave_the_others_waiting() -> None:
    lanes, model = Lanes(2), torch.nn.Linear(2, 2)

    def fine() -> Any:
        lanes.meet(torch.ones(1))
        raise AssertionError("not reached")

    def broken() -> Any:
        raise ValueError("this lane")

    with pytest.raises(ValueError, match="this lane"):
        lanes.backward(model, [fine, broken])


def test_training_logs_the_router_and_evens_it_out(tiny_config: Callable[..., TrainConfig]) -> None:
    config = tiny_config(model=MOE, max_steps=30)
    train(config)
    assert config.out is not None
    lines = [json.loads(line) for line in (config.out / "training_log.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "loss" in line]
    assert all(0.99 <= line["balance_loss"] < 4 and line["z_loss"] > 0 for line in logged)
    assert all(line["idlest_expert"] <= 1 <= line["busiest_expert"] for line in logged)
    assert logged[-1]["z_loss"] < logged[0]["z_loss"]
    assert logged[-1]["loss"] < logged[0]["loss"]
