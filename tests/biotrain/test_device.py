"""biotrain.device: what `auto` chooses, and refusals."""

from __future__ import annotations

import os

import pytest
import torch

from biodata.errors import ConfigError
from biotrain import device
from biotrain.device import choose_hardware, using


@pytest.mark.parametrize(
    ("units", "precision"), [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")]
)
def test_auto_precision_follows_the_cpu(
    monkeypatch: pytest.MonkeyPatch, units: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    chosen = choose_hardware(device="cpu", precision="auto", threads=1)
    assert chosen.precision == precision and "bf16" in chosen.reason
    for asked in ("fp32", "bf16"):
        assert choose_hardware(device="cpu", precision=asked, threads=1).precision == asked


def test_threads() -> None:
    assert choose_hardware(device="cpu", precision="fp32", threads=0).threads == len(os.sched_getaffinity(0))
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    with using(choose_hardware(device="cpu", precision="fp32", threads=before + 1)):
        assert torch.get_num_threads() == before + 1
        torch.manual_seed(1)
    assert torch.get_num_threads() == before and torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["gpu", "cuda:64", "meta"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{name}'"):
        choose_hardware(device=name, precision="auto", threads=1)


def test_peak_is_measured_once() -> None:
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    device._measured_peak.cache_clear()
    first = hardware.peak_flops()
    assert 1e8 < first < 1e15 and hardware.peak_flops() == first
    assert device._measured_peak.cache_info().misses == 1


def test_known_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = device.Hardware(device=torch.device("cuda"), precision="bf16", threads=1, reason="")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    assert hardware.peak_flops() == 989e12  # NVIDIA H100 SXM data sheet, dense bf16


def test_a_run_on_the_cpu_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(device, "keep_freed_memory", lambda: calls.append(True))
    with using(choose_hardware(device="cpu", precision="fp32", threads=1)):
        assert calls == [True]
