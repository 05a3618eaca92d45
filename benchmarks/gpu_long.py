"""Hyena and Based on a GPU: the CPU's logits and gradients, bfloat16, speed at several lengths.

    python benchmarks/gpu_long.py [--lengths 1024 4096 16384 65536] [--tokens 65536]
                                  [--compared 700] [--json F]

A step is forward, loss, backward, update of the 8M models of `length_scaling.py` under bfloat16 autocast;
operations are counted as `--dry-run` counts them. Where flash-linear-attention is installed, Based runs with
its kernel and again without (`based plain`).
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import torch
from gpu_device import device_of, milliseconds, name_of, options, save
from length_scaling import VOCAB, Case, config_of
from torch.nn import functional as F

from biotrain.layers import cuda_kernels
from biotrain.layers.kernels import plain_kernels
from biotrain.models import build_model, flops_per_token


def differences(kind: str, length: int, device: torch.device) -> dict[str, float]:
    """Largest differences to the CPU in float32, relative to the largest value; the mean one in bfloat16."""
    torch.backends.cuda.matmul.allow_tf32 = False
    model = build_model(config_of(Case(kind, 8, length)), vocab_size=VOCAB)
    ids = torch.randint(6, VOCAB, (3, length), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(length) < torch.tensor([[length], [length // 2], [1]])

    def run(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        model.to(device).zero_grad()
        logits = model(ids.to(device), mask=mask.to(device))[mask.to(device)]
        logits.square().mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return logits.detach().cpu(), gradient.cpu()

    expected, found = run(torch.device("cpu")), run(device)
    with torch.autocast(device.type, torch.bfloat16):
        half = run(device)
    names = ("logits", "gradients")
    result = {n: float((a - b).abs().max() / b.abs().max()) for n, a, b in zip(names, found, expected)}
    close = {f"{n} bf16": float((a - b).abs().mean() / b.abs().mean())
             for n, a, b in zip(names, half, expected)}  # fmt: skip
    return result | close


def speed(kind: str, length: int, tokens: int, device: torch.device) -> dict[str, float]:
    """Tokens per second, and floating-point operations."""
    config = config_of(Case(kind, 8, length))
    model = build_model(config, vocab_size=VOCAB).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(6, VOCAB, (max(1, tokens // length), length), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(ids)[:, :-1]
        F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()).backward()
        optimizer.step()

    rounds = 1 if device.type == "cpu" else 8
    seconds = [ms / 1e3 for ms in milliseconds(step, rounds, device)]
    rate = ids.numel() / statistics.median(seconds[-5:])
    return {"tokens_per_s": rate, "tflops": rate * flops_per_token(config, vocab_size=VOCAB) / 1e12}


def measure(name: str, kind: str, arguments: argparse.Namespace, device: torch.device) -> dict[Any, Any]:
    """Differences and speeds of one model, printed as they come."""
    result: dict[Any, Any] = {"differences": differences(kind, arguments.compared, device)}
    print(name, json.dumps(result["differences"]))
    for length in arguments.lengths:
        found = result[length] = speed(kind, length, arguments.tokens, device)
        tokens, rate = f"{found['tokens_per_s']:.0f} tokens/s", f"{found['tflops']:.1f} TFLOP/s"
        print(f"| {name} | {length} | {tokens} | {rate} |")
    return result


def main() -> None:
    parser = options(__doc__, tokens=65_536, compared=700)
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024, 4096, 16_384, 65_536])
    arguments = parser.parse_args()
    device = device_of(arguments)
    if device is None:
        return
    result: dict[str, Any] = {"device": name_of(device), "settings": vars(arguments)}
    for kind in ("hyena", "based"):
        result[kind] = measure(kind, kind, arguments, device)
    if cuda_kernels.has_taylor(device):
        with plain_kernels():
            result["based plain"] = measure("based plain", "based", arguments, device)
    save(result, arguments.json)


if __name__ == "__main__":
    main()
