"""MFU of whole training steps on a GPU in bf16: the 50M GPT of HELM's width and the small mixture of experts.

    python benchmarks/gpu_train.py [--steps 30] [--rows 128] [--context 512] [--only gpt-50m]
                                   [--compile] [--json F]

gpt-50m        10 layers x 640, heads of 64
moe-small-8m   4 layers x 256, 4 experts of 512, 2 a token
mamba-27m      16 layers x 512, half as many rows

A step is `biotrain.step.train_step` (objective, model, loss, clipping, AdamW) on random codons, without
reading data. MFU = tokens/s x FLOPs per token / peak: FLOPs are 6 per multiplied weight and 12 L d T for
attention (`flops_per_token`), the peak is the data sheet's dense bf16 rate (`biotrain.device`). Aims: 35 %
and 20 % on an H100.
"""

from __future__ import annotations

import argparse
from itertools import count
from typing import Any

import numpy as np
import torch
from gpu_device import device_of, milliseconds, name_of, options, save

VOCAB, WARM_UP = 70, 5


def cases(rows: int) -> dict[str, tuple[dict[str, Any], int]]:
    """Shape and rows of a step by name."""
    from biotrain.models import MoEConfig

    moe = {"name": "moe", "layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512,
           "moe": MoEConfig(experts=4, top_k=2)}  # fmt: skip
    gpt = {"name": "gpt2", "layers": 10, "width": 640, "heads": 10, "tie_embeddings": False}
    mamba = {"name": "mamba", "layers": 16, "width": 512}
    return {"gpt-50m": (gpt, rows), "moe-small-8m": (moe, rows), "mamba-27m": (mamba, max(1, rows // 2))}


def measure(
    shape: dict[str, Any], rows: int, device: torch.device, arguments: argparse.Namespace
) -> dict[str, float]:
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

    config = TrainConfig(model=ModelConfig(context=arguments.context, **shape), batch_size=rows,
                         precision="bf16")  # fmt: skip
    hardware = choose_hardware(device=device.type, precision="bf16", threads=0)
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
    ids = np.random.default_rng(0).integers(6, VOCAB, (rows, arguments.context))
    batch = Rows(ids, np.ones_like(ids, dtype=bool))
    number = count(1)

    def steps(n: int) -> None:
        for _ in range(n):
            train_step(parts, batch, next(number))

    milliseconds(lambda: steps(min(WARM_UP, arguments.steps)), 1, device)
    seconds = milliseconds(lambda: steps(arguments.steps), 1, device)[0] / 1e3
    rate = arguments.steps * ids.size / seconds
    return {
        "parameters": count_parameters(config.model, vocab_size=VOCAB)["total"],
        "tokens_per_s": rate,
        "mfu": rate * flops / parts.peak,
        "memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else 0,
    }


def main() -> None:
    parser = options(__doc__, steps=30, rows=128, context=512)
    parser.add_argument("--compile", action="store_true", help="torch.compile the blocks")
    parser.add_argument("--only", help="one of the cases")
    arguments = parser.parse_args()
    device = device_of(arguments)
    if device is None:
        return
    result: dict[str, Any] = {"device": name_of(device), "settings": vars(arguments)}
    print(f"{result['device']}, bf16\n\n| model | parameters | tokens/s | MFU | memory GiB |")
    print("|---|---|---|---|---|")
    for name, (shape, rows) in cases(arguments.rows).items():
        if arguments.only in (None, name):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            found = result[name] = measure(shape, rows, device, arguments)
            print(f"| {name} | {found['parameters']:,} | {found['tokens_per_s']:,.0f} | {found['mfu']:.1%} | "
                  f"{found['memory_bytes'] / 2**30:.1f} |")  # fmt: skip
    save(result, arguments.json)


if __name__ == "__main__":
    main()
