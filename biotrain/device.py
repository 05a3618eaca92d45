"""Where and in which precision a run computes, and how fast the hardware could go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

from biodata.errors import ConfigError
from biotrain.fast_memory import keep_freed_memory

DENSE_BF16_PEAK = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}
"""Part of a GPU's name to its dense bf16 rate in FLOP/s with fp32 accumulation (NVIDIA's data sheets);
the first that fits counts."""

CPU_BF16_UNITS = ("amx_bf16", "avx512_bf16")
"""Instruction sets with which bf16 autocast pays on a CPU (AVX512-BF16: 1.3x at width 128, 2x at 256);
without them it is 3 times slower than fp32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The device of a run.

    Attributes:
        device: torch device.
        precision: `bf16` (autocast over fp32 weights) or `fp32`.
        threads: CPU threads.
        reason: why this precision, for the log.
    """

    device: torch.device
    precision: Literal["fp32", "bf16"]
    threads: int
    reason: str

    def autocast(self) -> AbstractContextManager[object]:
        """The block in which the forward pass and the loss run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def peak_flops(self) -> float:
        """FLOP/s that count as 100 % for `mfu`: of the data sheet for a known GPU in bf16, else measured."""
        if self.device.type == "cuda" and self.precision == "bf16":
            name = torch.cuda.get_device_name(self.device)
            for part, rate in DENSE_BF16_PEAK.items():
                if part in name:
                    return rate
        return _measured_peak(self.device, self.precision, self.threads)

    def describe(self) -> dict[str, str | int]:
        """What a checkpoint and the summary keep."""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        else:
            name = f"cpu {torch.cpu.get_capabilities().get('cpu_name', '')}".strip()
        return {"device": name, "precision": self.precision, "threads": self.threads}


def choose_hardware(*, device: str, precision: str, threads: int) -> Hardware:
    """Resolves `auto`.

    Args:
        device: `auto` (a GPU if there is one), or a torch device.
        precision: `auto`, `fp32` or `bf16`.
        threads: 0 = every core that this process may use.

    Raises:
        ConfigError: a device that is not there.
    """
    where = _device(device)
    if threads == 0:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    able, reason = _bf16_pays(where)
    if precision != "auto":
        able, reason = precision == "bf16", "as configured"
    return Hardware(device=where, precision="bf16" if able else "fp32", threads=threads, reason=reason)


@contextmanager
def using(hardware: Hardware) -> Iterator[None]:
    """Sets the number of CPU threads, on which the order of sums depends; afterwards that number and
    torch's random state are what they were. On the CPU the process goes on to keep freed memory."""
    if hardware.device.type == "cpu":
        keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(hardware.threads)
    gpus = [hardware.device] if hardware.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        torch.set_num_threads(before)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r} (known: auto, cpu, cuda, cuda:0 ...)") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not supported (known: auto, cpu, cuda, cuda:0 ...)")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not there: torch sees {torch.cuda.device_count()} GPU(s)")
    return device


def _bf16_pays(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return able, "this GPU computes in bf16" if able else "this GPU has no bf16"
    able = [unit for unit in CPU_BF16_UNITS if torch.cpu.get_capabilities().get(unit)]
    if able:
        return True, f"this CPU computes in bf16 ({able[0]})"
    return False, "this CPU has no bf16 arithmetic, where it is slower than fp32"


@lru_cache
def _measured_peak(device: torch.device, precision: str, threads: int) -> float:
    """The rate of a square matrix product, best of five; measured once per process."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 1024 if device.type == "cpu" else 8192
    a = torch.full((size, size), 0.5, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        begin = time.perf_counter()
        torch.mm(a, a)
        _wait(device)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
