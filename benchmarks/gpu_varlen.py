"""Attention within packed documents on a GPU: torch's varlen kernel against a mask and against padding.

    python benchmarks/gpu_varlen.py [--rows 16] [--context 4096] [--mean 512] [--rounds 20] [--json F]

Rows of `--context` tokens filled with documents of a log-normal length around `--mean`; 12 heads of 64,
causal, bf16, forward and backward of `biotrain.layers`' attention:

varlen    `attention_in_spans`, as `--pack true` has it on a GPU
mask      `scaled_dot_product_attention` with a mask of T x T, which allows no FlashAttention
padded    every document in a row of its own, padded to the longest, FlashAttention

First all three are compared with each document alone in float32. Prints milliseconds and real tokens/s.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpu_device import device_of, milliseconds, name_of, options, save
from torch import Tensor
from torch.nn import functional as F

from biotrain.layers.spans import Spans, attention_in_spans

HEADS, WIDTH = 12, 64
TOLERANCE = 3e-2
"""Largest difference to float32 that bf16 explains, of values around 1."""


def documents(rows: int, context: int, mean: int) -> list[list[int]]:
    """Lengths of the documents in each row, which they fill."""
    random = np.random.default_rng(0)
    found: list[list[int]] = []
    for _ in range(rows):
        row: list[int] = []
        while sum(row) < context:
            length = int(random.lognormal(np.log(mean), 0.7)) + 2
            row.append(min(length, context - sum(row)))
        found.append(row)
    return found


def spans_of(sizes: list[int], device: torch.device) -> Spans:
    """All documents of all rows, as the kernel wants them."""
    bounds = torch.tensor([0, *sizes]).cumsum(0).to(torch.int32)
    counted = sizes if device.type == "cpu" else []
    return Spans(sizes=counted, bounds=bounds.to(device), longest=max(sizes), causal=True)


def mask_of(rows: list[list[int]], device: torch.device) -> Tensor:
    """[B, 1, T, T], True where a key may be seen."""
    numbers = torch.stack([torch.repeat_interleave(torch.arange(len(r)), torch.tensor(r)) for r in rows]).to(
        device
    )
    same = numbers[:, :, None] == numbers[:, None, :]
    return (same & torch.ones_like(same).tril())[:, None]


def alone(x: Tensor, sizes: list[int]) -> Tensor:
    """Each document by itself."""
    parts = [part.float() for part in x.flatten(0, 1).split(sizes)]
    made = [
        F.scaled_dot_product_attention(*(part[:, i].transpose(0, 1)[None] for i in range(3)), is_causal=True)
        for part in parts
    ]
    return torch.cat([y[0].transpose(0, 1) for y in made]).reshape(*x.shape[:2], -1)


def ways(rows: list[list[int]], device: torch.device) -> dict[str, Callable[[Tensor], Tensor]]:
    """Each takes [B, T, 3, H, d] and gives [B, T, H d]."""
    sizes = [size for row in rows for size in row]
    spans, mask = spans_of(sizes, device), mask_of(rows, device)
    places = torch.cat([torch.arange(size) + i * max(sizes) for i, size in enumerate(sizes)]).to(device)

    def varlen(x: Tensor) -> Tensor:
        return attention_in_spans(*x.unbind(2), spans, dropout=0.0, scale=None)

    def masked(x: Tensor) -> Tensor:
        q, k, v = (part.transpose(1, 2) for part in x.unbind(2))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    def padded(x: Tensor) -> Tensor:
        wide = x.new_zeros(len(sizes) * max(sizes), 3, HEADS, WIDTH).index_copy(0, places, x.flatten(0, 1))
        q, k, v = (part.transpose(1, 2) for part in wide.unflatten(0, (len(sizes), -1)).unbind(2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(0, 1)
        return y.index_select(0, places).reshape(*x.shape[:2], -1)

    return {"varlen": varlen, "mask": masked, "padded": padded}


def main() -> None:
    arguments = options(__doc__, rows=16, context=4096, mean=512, rounds=20).parse_args()
    device = device_of(arguments)
    if device is None:
        return
    rows = documents(arguments.rows, arguments.context, arguments.mean)
    shape = (arguments.rows, arguments.context, 3, HEADS, WIDTH)
    x = torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True)
    expected = alone(x.detach(), [size for row in rows for size in row])
    result: dict[str, Any] = {"device": name_of(device), "settings": vars(arguments)}
    print(f"{result['device']}, {sum(map(len, rows))} documents\n")
    print("| way | error | ms | real tokens/s |\n|---|---|---|---|")
    failed = False
    for name, way in ways(rows, device).items():
        y = way(x)
        error = (y.float() - expected).abs().max().item()
        failed |= not error < TOLERANCE
        outer = torch.randn_like(y)

        def run(way: Callable[[Tensor], Tensor] = way, outer: Tensor = outer) -> None:
            x.grad = None
            way(x).backward(outer)

        milliseconds(run, 3, device)
        median = statistics.median(milliseconds(run, arguments.rounds, device))
        rate = arguments.rows * arguments.context / median * 1e3
        result[name] = {"error": error, "ms": median, "tokens_per_s": rate}
        print(f"| {name} | {error:.1e} | {median:.2f} | {rate:,.0f} |")
    save(result, arguments.json)
    if failed:
        sys.exit("an error is larger than bf16 explains")


if __name__ == "__main__":
    main()
