"""Mamba on a GPU: the plain scans against mamba-ssm's kernels where these are installed, values and times.

    python benchmarks/gpu_mamba.py [--repeats 20] [--width 1024] [--length 2048] [--batch 8] [--json F]

Forward and backward of one scan in float32. `plain` is what runs without mamba-ssm; `kernel` what
`biotrain.layers.cuda_kernels` finds. Aim: Mamba-2's plain form within 1.3x of the kernel.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from gpu_device import device_of, milliseconds, name_of, options, save

from biotrain.layers import cuda_kernels
from biotrain.layers.kernels import plain_kernels
from biotrain.layers.ssm_chunks import Chunked, chunked_scan
from biotrain.layers.ssm_scan import Selective, selective_scan


def drives(arguments: argparse.Namespace, device: torch.device) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Scan and its inputs, by model."""
    noise = torch.Generator(device).manual_seed(0)
    batch, length, channels, heads = arguments.batch, arguments.length, 2 * arguments.width, 64

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=noise, device=device)

    def steps(*shape: int) -> torch.Tensor:
        return draw(*shape).abs() * 0.05

    matrices = [draw(batch, length, 16) for _ in range(2)]
    one = Selective(
        draw(batch, length, channels),
        steps(batch, length, channels),
        -draw(channels, 16).abs() - 1,
        *matrices,
    )
    count, matrices = channels // heads, [draw(batch, length, 128) for _ in range(2)]
    two = Chunked(
        draw(batch, length, count, heads), steps(batch, length, count), -draw(count).abs() - 1, *matrices
    )
    return {"mamba": (selective_scan, one), "mamba2": (chunked_scan, two)}


def gradients(scan: Callable[..., Any], drive: Any) -> list[torch.Tensor]:
    """y and the gradient by every input."""
    values = type(drive)(*(x.detach().requires_grad_() for x in drive))
    y = scan(values)[0]
    return [y.detach(), *torch.autograd.grad(y, list(values), torch.ones_like(y))]


def measure(arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Times and the largest difference relative to the largest value."""
    results: dict[str, Any] = {}

    def median(scan: Callable[..., Any], drive: Any) -> float:
        times = milliseconds(lambda: gradients(scan, drive), arguments.repeats + 3, device)
        return statistics.median(times[3:])

    has_kernel = cuda_kernels.has_mamba(device)
    for name, (scan, drive) in drives(arguments, device).items():
        with plain_kernels():
            row: dict[str, Any] = {"plain_ms": median(scan, drive)}
            plain = gradients(scan, drive)
        if has_kernel:
            row["kernel_ms"] = median(scan, drive)
            row["plain_by_kernel"] = row["plain_ms"] / row["kernel_ms"]
            pairs = zip(gradients(scan, drive), plain)
            row["difference"] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
        results[name] = row
        print(name, row)
    return results


def main() -> None:
    arguments = options(__doc__, repeats=20, width=1024, length=2048, batch=8).parse_args()
    device = device_of(arguments)
    if device is None:
        return
    results = measure(arguments, device)
    if not any("kernel_ms" in row for row in results.values()):
        print("mamba-ssm is not installed: only the plain scans were timed")
    save({"device": name_of(device), "settings": vars(arguments), "results": results}, arguments.json)


if __name__ == "__main__":
    main()
