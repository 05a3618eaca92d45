"""biotrain.optim: one step of each optimizer against its formula in numpy, groups, clipping, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from biodata.errors import ConfigError
from biotrain.models import ModelConfig, build_model
from biotrain.optim import OPTIMIZERS, OptimConfig, build_optimizer
from biotrain.optim.clip import clip_gradient
from biotrain.optim.groups import parameter_groups, set_learning_rate

SHAPE = ModelConfig(layers=2, width=8, heads=2, context=4)
Array = np.ndarray
Formula = Callable[[Array, Iterator[Array]], Array]
LR, DECAY = 0.01, 0.1


def adamw(w: Array, gradients: Iterator[Array]) -> Array:
    """arXiv:1711.05101, algorithm 2."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        w = w - LR * DECAY * w - LR * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return w


def lion(w: Array, gradients: Iterator[Array]) -> Array:
    """arXiv:2302.06675, algorithm 2."""
    m = np.zeros_like(w)
    for g in gradients:
        w = w - LR * (np.sign(0.9 * m + 0.1 * g) + DECAY * w)
        m = 0.99 * m + 0.01 * g
    return w


def sgd(w: Array, gradients: Iterator[Array]) -> Array:
    """Nesterov momentum as torch writes it (Sutskever et al. 2013, seen from the new point)."""
    b = np.zeros_like(w)
    for g in gradients:
        g = g + DECAY * w
        b = 0.9 * b + g
        w = w - LR * (g + 0.9 * b)
    return w


def adafactor(w: Array, gradients: Iterator[Array]) -> Array:
    """arXiv:1804.04235, algorithm 4, with means for sums and the step size capped by lr."""
    rows, columns = np.zeros((w.shape[0], 1)), np.zeros((1, w.shape[1]))
    for t, g in enumerate(gradients, start=1):
        beta = 1 - t**-0.8
        step = min(LR, 1 / np.sqrt(t)) * max(1e-3, np.sqrt((w**2).mean()))
        rows = beta * rows + (1 - beta) * (g**2).mean(1, keepdims=True)
        columns = beta * columns + (1 - beta) * (g**2).mean(0, keepdims=True)
        u = g / np.sqrt(rows * columns / rows.mean())
        w = w - LR * DECAY * w - step * u / max(1, np.sqrt((u**2).mean()))
    return w


def muon(w: Array, gradients: Iterator[Array]) -> Array:
    """Jordan's post: quintic Newton-Schulz of the Nesterov momentum; size by arXiv:2502.16982, eq. 4."""
    b = np.zeros_like(w)
    for g in gradients:
        b = 0.95 * b + 0.05 * g
        x = 0.05 * g + 0.95 * b
        x = x / np.linalg.norm(x)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        w = w - LR * DECAY * w - LR * 0.2 * np.sqrt(max(w.shape)) * x
    return w


class Blocks(nn.Module):
    """One matrix where Muon takes it."""

    def __init__(self, weight: Array) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(weight.shape[1], weight.shape[0], bias=False)])
        self.double()
        with torch.no_grad():
            self.matrix.copy_(torch.from_numpy(weight))

    @property
    def matrix(self) -> nn.Parameter:
        (matrix,) = self.parameters()
        return matrix


@pytest.mark.parametrize("formula", [adamw, lion, sgd, adafactor, muon], ids=lambda f: f.__name__)
def test_equals_its_formula(formula: Formula) -> None:
    random = np.random.default_rng(1)
    weight, gradients = random.normal(size=(3, 5)), random.normal(size=(4, 3, 5))
    model = Blocks(weight)
    optimizer = build_optimizer(model, OptimConfig(name=formula.__name__, lr=LR, weight_decay=DECAY))
    for gradient in gradients:
        model.matrix.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    tolerance = 1e-12
    np.testing.assert_allclose(
        model.matrix.detach().numpy(), formula(weight, iter(gradients)), atol=tolerance
    )


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_only_matrices_decay_and_states_are_tensors(name: str) -> None:
    model = build_model(SHAPE, vocab_size=10)
    optimizer = build_optimizer(model, OptimConfig(name=name, lr=0.1, weight_decay=0.5))
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for key, p in model.named_parameters():
        shrink = 1 - 0.1 * 0.5 * (1.9 if name == "sgd" else 1)
        torch.testing.assert_close(p.detach(), before[key] * (shrink if p.ndim >= 2 else 1))
        assert optimizer.state[p] and all(torch.is_tensor(v) for v in optimizer.state[p].values())


def test_muon_takes_hidden_matrices_alone() -> None:
    model = build_model(SHAPE, vocab_size=10)
    optimizer = build_optimizer(model, OptimConfig(name="muon"))
    set_learning_rate(optimizer, 0.5)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    of_muon = {key for key, p in model.named_parameters() if "momentum_buffer" in optimizer.state[p]}
    assert of_muon == {key for key, p in model.named_parameters() if "blocks." in key and p.ndim == 2}
    assert all(group["lr"] == 0.5 for group in optimizer.param_groups)


def test_layer_decay() -> None:
    """Embeddings at 0.5^3, block 0 at 0.5^2, block 1 at 0.5, final norm and output at 1."""
    shape = ModelConfig(layers=2, width=8, heads=2, context=4, tie_embeddings=False)
    model = build_model(shape, vocab_size=10)
    optimizer = build_optimizer(model, OptimConfig(layer_decay=0.5))
    set_learning_rate(optimizer, 1.0)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, p in model.named_parameters():
        expected = 0.5**3 if name.startswith(("tokens", "positions")) else 1.0
        expected = {"blocks.0": 0.25, "blocks.1": 0.5}.get(name[:8], expected)
        assert rate[id(p)] == expected, name


def test_every_parameter_is_in_one_group() -> None:
    model = build_model(SHAPE, vocab_size=10)
    groups = parameter_groups(model, OptimConfig(layer_decay=0.9))
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


def two(gradients: list[list[float]], **weights: list[float]) -> Any:
    module: Any = nn.Module()
    for (name, value), gradient in zip(weights.items(), gradients):
        p = nn.Parameter(torch.tensor(value))
        p.grad = torch.tensor(gradient)
        module.register_parameter(name, p)
    return module


@pytest.mark.parametrize(("limit", "scale"), [(1.0, 0.2), (0.0, 1.0), (10.0, 1.0)])
def test_clipping_by_norm(limit: float, scale: float) -> None:
    module = two([[3.0], [4.0]], a=[0.0], b=[0.0])
    assert clip_gradient(module, OptimConfig(clip_norm=limit)).item() == pytest.approx(5.0)
    assert module.a.grad.item() == pytest.approx(3.0 * scale, rel=1e-5)


def test_clipping_by_value() -> None:
    module = two([[3.0, -0.5], [-4.0]], a=[0.0, 0.0], b=[0.0])
    norm = clip_gradient(module, OptimConfig(clip_mode="value", clip_norm=1.0))
    assert norm.item() == pytest.approx((9 + 0.25 + 16) ** 0.5)
    assert module.a.grad.tolist() == [1.0, -0.5] and module.b.grad.tolist() == [-1.0]


def test_clipping_adaptively() -> None:
    """arXiv:2102.06171, eq. 3: row by row, weights' norm at least 1e-3, output layer left alone."""
    module: Any = nn.Module()
    module.w = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]]))
    module.w.grad = torch.tensor([[0.0, 5.0], [1.0, 0.0], [0.06, 0.08]])
    module.head = nn.Linear(1, 1, bias=False)
    module.head.weight.grad = torch.tensor([[100.0]])
    clip_gradient(module, OptimConfig(clip_mode="agc", clip_norm=0.02))
    expected = torch.tensor([[0.0, 0.1], [0.02e-3, 0.0], [0.06, 0.08]])
    torch.testing.assert_close(module.w.grad, expected)
    assert module.head.weight.grad.item() == 100.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "adam"}, "unknown optimizer 'adam'"),
        ({"name": "sgd", "betas": (0.9, 0.99)}, "'sgd' does not use betas, which belongs to: adamw, lion"),
        ({"name": "adafactor", "eps": 1e-8}, "'adafactor' does not use eps"),
        ({"momentum": 0.9}, "'adamw' does not use momentum, which belongs to: muon, sgd"),
        ({"clip_mode": "value"}, "needs a limit: give clip_norm"),
        ({"layer_decay": 1.5}, "layer_decay must be from 1e-06 to 1, got 1.5"),
    ],
)  # fmt: skip
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OptimConfig(**settings)


def test_a_saved_configuration_says_what_was_used() -> None:
    assert (OptimConfig().betas, OptimConfig().eps, OptimConfig().momentum) == ((0.9, 0.95), 1e-8, None)
    assert OptimConfig(name="lion").betas == (0.9, 0.99)
    assert OptimConfig(clip_mode="agc").clip_norm == 0.01
