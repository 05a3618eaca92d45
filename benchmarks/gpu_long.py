"""Hyena and Based on a GPU: the CPU's logits and gradients, bfloat16, speed at several lengths.

    python benchmarks/gpu_long.py [--lengths 1024 4096 16384 65536] [--tokens 65536] [--json F]

Prints "not run: no CUDA device" where there is none. A step is forward, loss, backward, update of the 8M
models of `length_scaling.py` under bfloat16 autocast; operations are counted as `--dry-run` counts them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from length_scaling import VOCAB, Case, config_of
from torch.nn import functional as F

from biotrain.models import build_model, flops_per_token


def differences(kind: str) -> dict[str, float]:
    """Largest differences to the CPU in float32, relative to the largest value; the mean one in bfloat16."""
    torch.backends.cuda.matmul.allow_tf32 = False
    model = build_model(config_of(Case(kind, 8, 700)), vocab_size=VOCAB)
    ids = torch.randint(6, VOCAB, (3, 700), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(700) < torch.tensor([[700], [333], [1]])

    def run(device: str) -> tuple[torch.Tensor, torch.Tensor]:
        model.to(device).zero_grad()
        logits = model(ids.to(device), mask=mask.to(device))[mask.to(device)]
        logits.square().mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return logits.detach().cpu(), gradient.cpu()

    expected, found = run("cpu"), run("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        half = run("cuda")
    names = ("logits", "gradients")
    result = {n: float((a - b).abs().max() / b.abs().max()) for n, a, b in zip(names, found, expected)}
    close = {f"{n} bf16": float((a - b).abs().mean() / b.abs().mean())
             for n, a, b in zip(names, half, expected)}  # fmt: skip
    return result | close


def speed(kind: str, length: int, tokens: int) -> dict[str, float]:
    """Tokens per second, and floating-point operations."""
    config = config_of(Case(kind, 8, length))
    model = build_model(config, vocab_size=VOCAB).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(6, VOCAB, (max(1, tokens // length), length), device="cuda")
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(ids)[:, :-1]
        F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()).backward()
        optimizer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    rate = ids.numel() / statistics.median(seconds[3:])
    return {"tokens_per_s": rate, "tflops": rate * flops_per_token(config, vocab_size=VOCAB) / 1e12}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024, 4096, 16_384, 65_536])
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("not run: no CUDA device")
        sys.exit(0)
    result: dict[str, Any] = {"device": torch.cuda.get_device_name()}
    for kind in ("hyena", "based"):
        result[kind] = {"differences": differences(kind)}
        print(kind, json.dumps(result[kind]["differences"]))
        for length in options.lengths:
            found = result[kind][length] = speed(kind, length, options.tokens)
            tokens, rate = f"{found['tokens_per_s']:.0f} tokens/s", f"{found['tflops']:.1f} TFLOP/s"
            print(f"| {kind} | {length} | {tokens} | {rate} |")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
