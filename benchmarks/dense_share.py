"""Which share of the CPU's matrix-multiply peak a training step of the 8M-parameter GPT reaches (goal: 65 %).

    python benchmarks/dense_share.py [--rounds 5] [--threads 1] [--clock cpu] [--size 1024] [--json F]

The step is that of `train_step.py`: 10 layers x 256, batch 16 x 256 tokens, float32, forward, loss, backward,
update. Its operations are counted as `mfu` counts them (`biotrain.models.flops_per_token`): 6 for every
weight that is multiplied and 12 L d T for attention, per token. The peak is the rate of square products, by
torch's own BLAS and by oneDNN: each contender does as many operations in a round as the training step, so
that a ratio of speeds is a share of the peak. The larger of both peaks counts.
"""

from __future__ import annotations

from functools import partial

import train_step
from paired import Step, compare, options, save, spread

OURS, PEAKS = "seqloom", ("torch.mm", "oneDNN")


def operations() -> int:
    """Floating-point operations of a step."""
    from biotrain.models import ModelConfig, flops_per_token

    shape = ModelConfig(layers=train_step.LAYERS, width=train_step.WIDTH, heads=train_step.HEADS,
                        context=train_step.LENGTH)  # fmt: skip
    per_token = flops_per_token(shape, vocab_size=train_step.VOCAB, length=train_step.LENGTH)
    return per_token * train_step.BATCH * train_step.LENGTH


def make(size: int, name: str) -> Step:
    """The step of a contender.

    Args:
        size: side of the matrices.
        name: ours or a way to multiply.
    """
    import torch

    from biotrain.layers.cpu import have_onednn

    if name == OURS:
        return train_step.make(name)
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = round(operations() / (2 * size**3))
    by_onednn = name != "torch.mm" and have_onednn()
    linear = torch.ops.mkldnn._linear_pointwise
    multiply = partial(linear, a, b, None, "none", [], "") if by_onednn else partial(torch.mm, a, b)

    def step() -> float:
        for _ in range(times):
            multiply()
        return 0.0

    return step


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--size", type=int, default=1024, help="side of the matrices of the peak")
    parser.set_defaults(rounds=5, threads=1, clock="cpu")
    arguments = parser.parse_args()
    flops, tokens = operations(), train_step.BATCH * train_step.LENGTH
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock, a process each")
    pairs = [(OURS, peak) for peak in PEAKS]
    result = compare(partial(make, arguments.size), (OURS, *PEAKS), arguments, tokens=tokens, pairs=pairs)
    rates = {name: speed["median"] * flops / tokens / 1e9 for name, speed in result["tokens_per_s"].items()}
    shares = [
        min(found[peak]["seconds"] for peak in PEAKS) / found[OURS]["seconds"] for found in result["rounds"]
    ]
    result |= {"gflops_per_s": rates, "share_of_peak": spread(shares)}
    print("\n| | GFLOP/s, all threads |\n|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.1f} |")
    print("\nshare of the larger peak: {median:.1%} ({min:.1%} to {max:.1%})".format(**spread(shares)))
    save(result, arguments.json)


if __name__ == "__main__":
    main()
