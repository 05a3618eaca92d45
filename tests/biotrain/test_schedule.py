"""biotrain.schedule against torch's own schedulers and the formulas' corner values."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from biotrain.schedule import SCHEDULES, learning_rate, warmup_steps


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_equals_torch(name: str) -> None:
    steps, warmup, peak, low = 50, 10, 0.5, 0.05
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    # torch counts from 0 and forbids a start of 0: step s of ours is its (s - 1)-th value
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    fall: LRScheduler = (
        CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=low)
        if name == "cosine"
        else LinearLR(optimizer, start_factor=1.0, end_factor=low / peak, total_iters=steps - warmup)
    )
    both = SequentialLR(optimizer, [rise, fall], milestones=[warmup - 1])
    for step in range(1, steps + 1):
        ours = learning_rate(step, name=name, steps=steps, warmup=warmup, peak=peak, low=low)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6), step
        optimizer.step()
        both.step()


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (5, 5), (7, 0), (100, 3)])
def test_begins_and_ends_where_it_says(name: str, steps: int, warmup: int) -> None:
    rates = [
        learning_rate(s, name=name, steps=steps, warmup=warmup, peak=1.0, low=0.1)
        for s in range(1, steps + 1)
    ]
    assert max(rates) == 1.0
    if steps > max(1, warmup):
        assert rates[-1] == pytest.approx(1.0 if name == "constant" else 0.1)
    assert all(0 < rate <= 1.0 for rate in rates)


def test_warmup_steps() -> None:
    assert warmup_steps(200, given=None, fraction=0.1) == 20
    assert warmup_steps(200, given=0, fraction=0.1) == 0
