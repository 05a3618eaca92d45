"""biotrain.optim: who decays, and clipping."""

from __future__ import annotations

import pytest
import torch

from biotrain.config import OptimConfig
from biotrain.models import ModelConfig, build_model
from biotrain.optim import build_optimizer, clip_gradient, set_learning_rate


def test_only_matrices_decay() -> None:
    model = build_model(ModelConfig(layers=1, width=8, heads=2, context=4), vocab_size=10)
    optimizer = build_optimizer(model, OptimConfig(lr=0.1, weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        expected = before[name] * (1 - 0.1 * 0.5) if p.ndim >= 2 else before[name]
        torch.testing.assert_close(p.detach(), expected)


def test_equals_adamw_by_hand() -> None:
    """Loshchilov & Hutter, arXiv:1711.05101, algorithm 2, one parameter, two steps."""
    p = torch.nn.Parameter(torch.tensor([[1.0]]))
    module = torch.nn.Module()
    module.register_parameter("p", p)
    config = OptimConfig(lr=0.1, betas=(0.9, 0.95), weight_decay=0.1, eps=1e-8)
    optimizer = build_optimizer(module, config)
    value, m, v = 1.0, 0.0, 0.0
    for t, gradient in enumerate((0.3, -0.2), start=1):
        p.grad = torch.tensor([[gradient]])
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.95 * v + 0.05 * gradient**2
        step = (m / (1 - 0.9**t)) / ((v / (1 - 0.95**t)) ** 0.5 + 1e-8)
        value = value - 0.1 * 0.1 * value - 0.1 * step
        assert p.item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(("limit", "scale"), [(1.0, 0.2), (0.0, 1.0), (10.0, 1.0)])
def test_clipping(limit: float, scale: float) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert clip_gradient(parameters, limit).item() == pytest.approx(5.0)
    assert parameters[0].grad.item() == pytest.approx(3.0 * scale, rel=1e-5)


def test_learning_rate_reaches_every_group() -> None:
    optimizer = build_optimizer(torch.nn.Linear(2, 2), OptimConfig())
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
