"""biotrain.schedule against torch's own schedulers and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from biodata.errors import ConfigError
from biotrain.schedule import SCHEDULES, Schedule, ScheduleConfig, build_schedule, warmup_steps
from biotrain.watch import Watch


def made(name: str, steps: int, *, peak: float = 1.0, seed: int = 0, **settings: Any) -> Schedule:
    settings = {"warmup_steps": 0, **settings}
    return build_schedule(
        ScheduleConfig(name=name, **settings), steps=steps, per_epoch=10, peak=peak, seed=seed
    )


def rates(name: str, steps: int, **settings: Any) -> list[float]:
    schedule = made(name, steps, **settings)
    return [schedule.rate(step) for step in range(1, steps + 1)]


def followed(scheduler: LRScheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def sgd(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_equals_torch(name: str) -> None:
    steps, warmup, peak, low = 50, 10, 0.5, 0.05
    optimizer = sgd(peak)
    # torch counts from 0 and forbids a start of 0: step s of ours is its (s - 1)-th value
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    fall: LRScheduler = (
        CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=low)
        if name == "cosine"
        else LinearLR(optimizer, start_factor=1.0, end_factor=low / peak, total_iters=steps - warmup)
    )
    both = SequentialLR(optimizer, [rise, fall], milestones=[warmup - 1])
    ours = rates(name, steps, peak=peak, warmup_steps=warmup, min_lr=low)
    assert ours == pytest.approx(followed(both, steps), rel=1e-6)


def test_polynomial_step_and_multistep_equal_torch() -> None:
    torch_poly = followed(PolynomialLR(sgd(1.0), total_iters=29, power=3.0), 30)
    assert rates("poly", 30, power=3.0, min_lr=0.0) == pytest.approx(torch_poly, abs=1e-12)
    torch_step = followed(StepLR(sgd(1.0), step_size=7, gamma=0.5), 30)
    assert rates("step", 30, decay_steps=7, decay_rate=0.5) == pytest.approx(torch_step)
    assert rates("step", 30, decay_epochs=0.7, decay_rate=0.5) == pytest.approx(torch_step)
    torch_multi = followed(MultiStepLR(sgd(1.0), milestones=[10, 25], gamma=0.3), 30)
    assert rates("multistep", 30, decay_milestones=(1, 2.5), decay_rate=0.3) == pytest.approx(torch_multi)
    assert min(rates("step", 30, decay_steps=3, min_lr=0.02)) == 0.02


@pytest.mark.parametrize("shape", ["linear", "sqrt", "cosine"])
def test_wsd(shape: str) -> None:
    """Stable until the last fifth, then its shape; the two last steps are the cool-down."""
    found = rates("wsd", 102, decay_fraction=0.1, decay_shape=shape, min_lr=0.1, cooldown_steps=2)
    assert found[:90] == [1.0] * 90 and found[-3:] == pytest.approx([0.1] * 3)
    fall = {
        "linear": lambda x: 1 - x,
        "sqrt": lambda x: 1 - math.sqrt(x),
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    }[shape]
    expected = [0.1 + 0.9 * fall(i / 10) for i in range(11)]
    assert found[89:100] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["cosine", "polynomial", "linear"])
def test_cycles_and_k_decay(name: str) -> None:
    """timm's formulas, cycle i of length t0 m^i, top lr g^i, t within the cycle:
    low + (top - low)/2 (1 + cos(pi t^k / T^k)), and low + (top - low)(1 - t^k / T^k)^power."""
    k = 1.0 if name == "linear" else 2.0
    more = {} if name == "linear" else {"k_decay": k}
    found = rates(name, 71, cycles=3, cycle_mul=2.0, cycle_decay=0.5, min_lr=0.01, **more)
    for step, rate in enumerate(found):
        number = 0 if step < 10 else 1 if step < 30 else 2
        t, length, top = step - (0, 10, 30)[number], (10, 20, 40)[number], 0.5**number
        share = t**k / length**k
        form = {"cosine": (1 + math.cos(math.pi * share)) / 2, "linear": 1 - share}
        height = form.get(name, (1 - share) ** 2.0)
        assert rate == pytest.approx(0.01 + (top - 0.01) * height), step


def test_warmup_from_a_rate_and_under_the_fall() -> None:
    found = rates("linear", 11, warmup_steps=5, warmup_lr=0.5, min_lr=0.0, warmup_prefix=False)
    assert found[:5] == pytest.approx([0.6, 0.7, 0.8, 0.9, 0.6])  # the fall is 4/10 through at its end
    assert found[5:] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_noise_is_bounded_seeded_and_within_its_window() -> None:
    noise = {"noise": (0.25, 0.75), "noise_std": 0.2, "noise_limit": 0.3}
    found = np.array(rates("constant", 4000, seed=3, **noise))
    assert (found[:1000] == 1).all() and (found[3000:] == 1).all()
    inside = found[1000:3000] - 1
    assert abs(inside).max() < 0.3 and abs(inside.mean()) < 0.02
    # standard deviation of a normal cut at 1.5 sigma: 0.7426 sigma
    assert inside.std() == pytest.approx(0.2 * 0.7426, rel=0.05)
    assert (found == np.array(rates("constant", 4000, seed=3, **noise))).all()
    assert (found != np.array(rates("constant", 4000, seed=4, **noise))).sum() > 1900


def test_plateau_equals_torch() -> None:
    losses = [3.0, 2.0, 2.1, 2.0, 1.99999, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.4, 1.4, 1.4, 1.4, 1.4]
    optimizer = sgd(1.0)
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, min_lr=0.2)
    schedule, watch = made("plateau", 100, patience=2, decay_rate=0.5, min_lr=0.2), Watch()
    for step, loss in enumerate(losses, start=1):
        theirs.step(loss)
        watch.see(loss, patience=2, rate=0.5)
        assert schedule.rate(step, scale=watch.scale) == optimizer.param_groups[0]["lr"], step
    assert watch.scale < 0.2


SETTINGS: dict[str, dict[str, Any]] = {"multistep": {"decay_milestones": (1,)}, "step": {"decay_steps": 2}}


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (5, 5), (7, 0), (100, 3)])
def test_begins_and_ends_where_it_says(name: str, steps: int, warmup: int) -> None:
    low = {} if name == "constant" else {"min_lr": 0.1}
    found = rates(name, steps, warmup_steps=warmup, **low, **SETTINGS.get(name, {}))
    if name not in ("step", "multistep"):
        assert max(found) == 1.0
    if steps > max(1, warmup) and name in ("cosine", "linear", "polynomial", "wsd"):
        assert found[-1] == pytest.approx(0.1)
    assert all(0 < rate <= 1.0 for rate in found)


def test_warmup_steps() -> None:
    assert warmup_steps(ScheduleConfig(warmup_fraction=0.1), steps=200, per_epoch=1) == 20
    assert warmup_steps(ScheduleConfig(warmup_steps=0), steps=200, per_epoch=1) == 0
    assert warmup_steps(ScheduleConfig(warmup_epochs=1.5), steps=200, per_epoch=20) == 30


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cosin"}, "unknown schedule 'cosin', did you mean 'cosine'"),
        ({"name": "wsd", "cycles": 2}, "'wsd' does not use cycles, which belongs to: cosine, linear, poly"),
        ({"name": "constant", "min_lr": 0.1}, "'constant' does not use min_lr"),
        ({"noise_std": 0.5}, "give noise, or leave them out"),
        ({"noise": (0.5, 0.1)}, "one or two rising shares"),
        ({"warmup_steps": 3, "warmup_epochs": 1}, "warmup_steps and warmup_epochs say the same"),
        ({"name": "multistep"}, "needs decay_milestones"),
        ({"cycles": 0}, "cycles must be 1 or more, got 0"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScheduleConfig(**settings)
