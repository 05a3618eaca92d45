"""MFU of whole training steps on a GPU in bf16: the 50M GPT of HELM's width and the small mixture of experts.

    python benchmarks/gpu_train.py [--steps 30] [--compile] [--only gpt-50m] [--json F]

gpt-50m        10 layers x 640, heads of 64, context 512; 128 rows
moe-small-8m   4 layers x 256, 4 experts of 512, 2 a token, context 512; 128 rows
mamba-50m      16 layers x 512 where the model is there, context 512; 64 rows

A step is `biotrain.step.train_step` (objective, model, loss, clipping, AdamW) on random codons, without
reading data. MFU = tokens/s x FLOPs per token / peak: FLOPs are 6 per multiplied weight and 12 L d T for
attention (`flops_per_token`), the peak is the data sheet's dense bf16 rate (`biotrain.device`). Aims: 35 %
and 20 % on an H100.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

VOCAB, CONTEXT, WARM_UP = 70, 512, 5


def cases() -> dict[str, tuple[dict[str, Any], int]]:
    """Shape and rows of a step by name."""
    from biotrain.models import MODELS, MoEConfig

    moe = {"name": "moe", "layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512,
           "moe": MoEConfig(experts=4, top_k=2)}  # fmt: skip
    found = {
        "gpt-50m": ({"name": "gpt2", "layers": 10, "width": 640, "heads": 10, "tie_embeddings": False}, 128),
        "moe-small-8m": (moe, 128),
    }
    if "mamba" in MODELS:
        found["mamba-50m"] = ({"name": "mamba", "layers": 16, "width": 512}, 64)
    return found


def measure(shape: dict[str, Any], rows: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Tokens per second, MFU and memory of a model."""
    from biotrain.config import TrainConfig
    from biotrain.device import choose_hardware
    from biotrain.distributed import ALONE
    from biotrain.lanes import Lanes
    from biotrain.loader import Rows
    from biotrain.losses import build_loss
    from biotrain.models import ModelConfig, build_model, count_parameters, flops_per_token
    from biotrain.objectives import build_objective
    from biotrain.optim import build_optimizer
    from biotrain.parts import Parts
    from biotrain.remat import compile_blocks
    from biotrain.step import train_step

    config = TrainConfig(model=ModelConfig(context=CONTEXT, **shape), batch_size=rows, precision="bf16")
    hardware = choose_hardware(device="cuda", precision="bf16", threads=0)
    model = build_model(config.model, vocab_size=VOCAB).to(hardware.device)
    if arguments.compile:
        compile_blocks(model)
    flops = flops_per_token(config.model, vocab_size=VOCAB)
    unused: dict[str, Any] = dict.fromkeys(("tokenizer", "train", "validation", "ema", "schedule"))
    parts = Parts(
        config=config, hardware=hardware, model=model, lanes=Lanes(), team=ALONE, steps=1, flops=flops,
        objective=build_objective(config.objective, vocab_size=VOCAB), peak=hardware.peak_flops(),
        loss=build_loss(config.loss, tokens=()), optimizer=build_optimizer(model, config.optim), **unused,
    )  # fmt: skip
    ids = np.random.default_rng(0).integers(6, VOCAB, (rows, CONTEXT))
    batch = Rows(ids, np.ones_like(ids, dtype=bool))
    for step in range(1, WARM_UP + 1):
        train_step(parts, batch, step)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for step in range(arguments.steps):
        train_step(parts, batch, WARM_UP + 1 + step)
    torch.cuda.synchronize()
    rate = arguments.steps * rows * CONTEXT / (time.perf_counter() - begin)
    return {
        "parameters": count_parameters(config.model, vocab_size=VOCAB)["total"],
        "tokens_per_s": rate,
        "mfu": rate * flops / parts.peak,
        "memory_bytes": torch.cuda.max_memory_allocated(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--compile", action="store_true", help="torch.compile the blocks")
    parser.add_argument("--only", help="one of the cases")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("not run: no CUDA device")
        return
    device = torch.cuda.get_device_name()
    result: dict[str, Any] = {"device": device, "settings": vars(arguments)}
    print(f"{device}, bf16\n\n| model | parameters | tokens/s | MFU | memory GiB |\n|---|---|---|---|---|")
    for name, (shape, rows) in cases().items():
        if arguments.only in (None, name):
            torch.cuda.reset_peak_memory_stats()
            found = result[name] = measure(shape, rows, arguments)
            print(f"| {name} | {found['parameters']:,} | {found['tokens_per_s']:,.0f} | {found['mfu']:.1%} | "
                  f"{found['memory_bytes'] / 2**30:.1f} |")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
