"""The scans against plain loops in float64, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from biotrain.layers import ssm_scan
from biotrain.layers.ssm_scan import Selective, selective_scan


def drive_of(b: int, t: int, d: int, n: int, dtype: torch.dtype = torch.float64) -> Selective:
    noise = torch.Generator().manual_seed(0)
    shapes = ((b, t, d), (b, t, d), (d, n), (b, t, n), (b, t, n))
    u, dt, a, left, right = (torch.randn(s, generator=noise, dtype=dtype) for s in shapes)
    values = (u, dt.abs() * 0.3, -a.abs() - 0.1, left, right)
    return Selective(*(x.requires_grad_() for x in values))


def loop(drive: Selective, starts: Tensor | None, state: Tensor | None = None) -> Tensor:
    """The recurrence as it is written, sequence by sequence, token by token, in the numbers' own type."""
    u, dt, a, left, right = drive
    rows = []
    for row in range(len(u)):
        h, out = torch.zeros_like(a) if state is None else state[row].t(), []
        for t in range(u.shape[1]):
            if starts is not None and starts[row, t]:
                h = torch.zeros_like(a)
            h = torch.exp(dt[row, t, :, None] * a) * h + (dt[row, t] * u[row, t])[:, None] * left[row, t]
            out.append((h * right[row, t]).sum(-1))
        rows.append(torch.stack(out))
    return torch.stack(rows)


def starts_of(b: int, t: int) -> Tensor:
    starts = torch.zeros(b, t, dtype=torch.bool)
    starts[:, 0], starts[0, 5], starts[0, 6], starts[-1, 16], starts[-1, t - 1] = (True,) * 5
    return starts


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("block", "step"), [(16, 1 << 15), (4, 64), (7, 40)])
def test_selective_scan_is_the_loop(
    monkeypatch: pytest.MonkeyPatch, packed: bool, block: int, step: int
) -> None:
    monkeypatch.setattr(ssm_scan, "BLOCK_T", block)
    monkeypatch.setattr(ssm_scan, "STEP", step)
    drive, starts = drive_of(3, 21, 5, 4), starts_of(3, 21) if packed else None
    ours, theirs = selective_scan(drive, starts=starts)[0], loop(drive, starts)
    torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=1e-13)
    outer = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    mine, exact = (torch.autograd.grad(y, drive, outer) for y in (ours, theirs))
    for a, b in zip(mine, exact):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


def test_selective_scan_passes_gradcheck() -> None:
    drive, starts = drive_of(2, 6, 2, 3), torch.zeros(2, 6, dtype=torch.bool)
    starts[1, 4] = True
    assert torch.autograd.gradcheck(
        lambda *values: selective_scan(Selective(*values), starts=starts)[0], tuple(drive)
    )


def test_float32_stays_near_float64() -> None:
    drive = drive_of(2, 200, 8, 16)
    single = Selective(*(x.detach().float().requires_grad_() for x in drive))
    ours, exact = selective_scan(single)[0], selective_scan(drive)[0]
    torch.testing.assert_close(ours.double(), exact, atol=1e-5, rtol=1e-5)
    outer = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1), dtype=exact.dtype)
    pairs = zip(torch.autograd.grad(ours, single, outer.float()), torch.autograd.grad(exact, drive, outer))
    for a, b in pairs:
        torch.testing.assert_close(a.double(), b, atol=2e-5 * float(b.abs().max()), rtol=1e-4)


def test_a_state_is_taken_up_and_given_back() -> None:
    drive = Selective(*(x.detach() for x in drive_of(2, 30, 3, 4)))
    state = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole, last = selective_scan(drive, state=state)
    torch.testing.assert_close(whole, loop(drive, None, state), atol=1e-13, rtol=1e-13)
    kept, pieces, now = state.clone(), [], state
    for a, b in ((0, 1), (1, 18), (18, 30)):
        part = Selective(*(x if x.ndim == 2 else x[:, a:b] for x in drive))
        y, now = selective_scan(part, state=now)
        pieces.append(y)
    assert now is not None and last is not None
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-13, rtol=1e-13)
    torch.testing.assert_close(now, last, atol=1e-13, rtol=1e-13)
    assert torch.equal(state, kept)


def test_a_step_of_length_zero_changes_nothing() -> None:
    drive = Selective(*(x.detach() for x in drive_of(1, 9, 3, 2)))
    drive.dt[:, 4:6] = 0
    without = [0, 1, 2, 3, 6, 7, 8]
    left_out = Selective(*(x if x.ndim == 2 else x[:, without] for x in drive))
    torch.testing.assert_close(
        selective_scan(drive)[0][:, without], selective_scan(left_out)[0], atol=1e-14, rtol=1e-14
    )
