"""The scans against plain loops in float64, gradients too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from biotrain.layers import cuda_kernels, ssm_chunks, ssm_scan
from biotrain.layers.ssm_chunks import Chunked, chunked_scan
from biotrain.layers.ssm_flow import Flow, causal_conv
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


def heads_of(b: int, t: int) -> Chunked:
    noise = torch.Generator().manual_seed(3)
    shapes = ((b, t, 2, 3), (b, t, 2), (2,), (b, t, 4), (b, t, 4))
    u, dt, a, left, right = (torch.randn(s, generator=noise, dtype=torch.float64) for s in shapes)
    values = (u, dt.abs() * 0.3, -a.abs() - 0.1, left, right)
    return Chunked(*(x.requires_grad_() for x in values))


def head_loop(drive: Chunked, starts: Tensor | None, state: Tensor | None = None) -> Tensor:
    """Mamba-2's recurrence as it is written: a head of P channels is a matrix [P, N]."""
    u, dt, a, left, right = drive
    rows = []
    for row in range(len(u)):
        h = u.new_zeros(*u.shape[2:], left.shape[-1]) if state is None else state[row]
        out = []
        for t in range(u.shape[1]):
            if starts is not None and starts[row, t]:
                h = torch.zeros_like(h)
            new = (dt[row, t, :, None] * u[row, t])[..., None] * left[row, t]
            h = torch.exp(dt[row, t] * a)[:, None, None] * h + new
            out.append(h @ right[row, t])
        rows.append(torch.stack(out))
    return torch.stack(rows)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("chunk", [1, 4, 7, 64])
def test_chunked_scan_is_the_loop(monkeypatch: pytest.MonkeyPatch, packed: bool, chunk: int) -> None:
    monkeypatch.setattr(ssm_chunks, "CHUNK", chunk)
    drive, starts = heads_of(3, 21), starts_of(3, 21) if packed else None
    ours, theirs = chunked_scan(drive, starts=starts)[0], head_loop(drive, starts)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    outer = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    pairs = zip(*(torch.autograd.grad(y, drive, outer) for y in (ours, theirs)))
    for a, b in pairs:
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)


def test_a_matrix_state_is_taken_up_and_given_back() -> None:
    drive = Chunked(*(x.detach() for x in heads_of(2, 30)))
    state = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole, last = chunked_scan(drive, state=state)
    torch.testing.assert_close(whole, head_loop(drive, None, state), atol=1e-12, rtol=1e-12)
    pieces, now = [], state
    for a, b in ((0, 1), (1, 18), (18, 30)):
        part = Chunked(*(x if x.ndim == 1 else x[:, a:b] for x in drive))
        y, now = chunked_scan(part, state=now)
        pieces.append(y)
    assert now is not None and last is not None
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(now, last, atol=1e-12, rtol=1e-12)


def test_long_falls_neither_overflow_nor_become_nan() -> None:
    drive = Chunked(*(x.detach().float() for x in heads_of(1, 200)))
    drive.dt.fill_(50.0)
    values = Chunked(*(x.requires_grad_() for x in drive))
    y = chunked_scan(values)[0]
    y.sum().backward()
    assert y.isfinite().all() and all(x.grad is not None and x.grad.isfinite().all() for x in values)


def scan_played(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """mamba-ssm's function for Mamba-1, played by the loop: [B, D, T] and [B, N, T]."""
    turned = (x.transpose(1, 2) for x in (u, dt))
    return loop(Selective(*turned, a, b.transpose(1, 2), c.transpose(1, 2)), None).transpose(1, 2)


def chunks_played(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, chunk_size: int) -> Tensor:
    """The one for Mamba-2: groups beside the heads."""
    assert b.shape[2] == c.shape[2] == 1 and chunk_size == ssm_chunks.CHUNK
    return head_loop(Chunked(u, dt, a, b[:, :, 0], c[:, :, 0]), None)


@pytest.mark.parametrize("right", [True, False])
def test_kernels_serve_only_where_they_agree(
    right: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compared before their first use only; several documents take the plain form."""
    calls: list[tuple[str, int]] = []

    def find(like: Tensor, module: str, name: str) -> object:
        assert module.startswith("mamba_ssm.ops.")
        return kernels[name]

    def played(name: str, form: Callable[..., Tensor]) -> Callable[..., Tensor]:
        factor = 1.0 if right else 1.1
        return lambda *values: calls.append((name, len(values[0]))) or form(*values) * factor

    kernels = {
        "selective_scan_fn": played("1", scan_played),
        "mamba_chunk_scan_combined": played("2", chunks_played),
    }
    drive, heads = drive_of(3, 9, 3, 4), heads_of(3, 9)
    expected = selective_scan(drive)[0], chunked_scan(heads)[0]
    monkeypatch.setattr(cuda_kernels, "_kernel", find)
    for _ in range(2):
        torch.testing.assert_close(selective_scan(drive)[0], expected[0], atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(chunked_scan(heads)[0], expected[1], atol=1e-12, rtol=1e-12)
    used = [("1", 3), ("2", 3)] if right else []
    assert sorted(calls) == sorted([("1", 2), ("2", 2), *used, *used])
    said = capsys.readouterr().err
    assert ("mamba_ssm: selective_scan_fn is off by 2.1e-01 of the plain form" in said) is not right
    selective_scan(drive, starts=torch.zeros(3, 9, dtype=torch.bool))
    assert len(calls) == 2 + 2 * len(used)


def test_nothing_needs_kernels() -> None:
    assert not cuda_kernels.has_mamba(torch.device("cpu"))
    assert cuda_kernels._find("no_such_package.kernels", "scan") is None


@pytest.mark.parametrize(("tokens", "taps"), [(21, 4), (21, 1), (2, 4), (1, 3)])
def test_convolution_is_that_of_pytorch(tokens: int, taps: int) -> None:
    noise = torch.Generator().manual_seed(4)
    shapes = ((2, tokens, 3), (3, 1, taps), (3,))
    values = [torch.randn(s, generator=noise, dtype=torch.float64).requires_grad_() for s in shapes]
    x, weight, bias = values
    ours = causal_conv(x, weight, bias, Flow(None, None, None))
    padded = torch.nn.functional.pad(x.transpose(1, 2), (taps - 1, 0))
    theirs = torch.nn.functional.conv1d(padded, weight, bias, groups=3).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, atol=1e-14, rtol=1e-14)
    outer = torch.randn(ours.shape, generator=noise, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad(y, values, outer) for y in (ours, theirs))):
        torch.testing.assert_close(a, b, atol=1e-13, rtol=1e-13)


def test_convolution_ends_at_documents_and_passes_gradcheck() -> None:
    noise = torch.Generator().manual_seed(4)
    shapes = ((2, 7, 2), (2, 1, 4), (2,))
    values = [torch.randn(s, generator=noise, dtype=torch.float64).requires_grad_() for s in shapes]
    starts = torch.zeros(2, 7, dtype=torch.bool)
    starts[:, 0], starts[0, 3], starts[1, 5] = True, True, True
    flow = Flow(None, starts, None)
    assert torch.autograd.gradcheck(lambda *v: causal_conv(*v, flow), tuple(values))
    x, weight, bias = values
    apart = [causal_conv(part, weight, bias, Flow(None, None, None)) for part in x[:1].split((3, 4), 1)]
    torch.testing.assert_close(causal_conv(x, weight, bias, flow)[:1], torch.cat(apart, 1))
