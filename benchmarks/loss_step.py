"""A training step of the 8M-parameter GPT with each loss on the codon tree against the same step with XE.

    python benchmarks/loss_step.py [--rounds 10] [--threads 2] [--clock wall|cpu] [--losses NAME ...]
                                   [--json F]

10 layers x 256, vocabulary 70, batch 16 x 256 tokens, float32, CPU: the step of `train_step.py`. One process,
one model and one optimizer for all losses, since two processes differ by more than a loss costs: where their
memory lies is enough. For each loss a round is four steps, XE, loss, loss, XE, the next round the other way
round, so that a machine that grows slower or faster weighs on both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from paired import Step, options, save, spread
from train_step import make_ours

LOSSES = ("hxe", "soft_labels", "aa_loss_add", "aa_loss_only")


def seconds(steps: list[Step], read: Callable[[], float]) -> list[float]:
    """Of each step, one after the other."""
    found = []
    for step in steps:
        start = read()
        step()
        found.append(read() - start)
    return found


def rounds_of(xe: Step, other: Step, rounds: int, read: Callable[[], float]) -> list[float]:
    """Speed with the loss over speed with XE, round by round."""
    ratios = []
    for number in range(rounds):
        if number % 2 == 0:
            a, b, c, d = seconds([xe, other, other, xe], read)
            ratios.append((a + d) / (b + c))
        else:
            a, b, c, d = seconds([other, xe, xe, other], read)
            ratios.append((b + c) / (a + d))
    return ratios


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(rounds=10)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    arguments = parser.parse_args()
    import torch

    from biotrain.fast_memory import keep_freed_memory

    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    xe, *others = make_ours("xe", *arguments.losses)
    for step in [xe, *others] * arguments.warm_up:
        step()
    read = time.perf_counter if arguments.clock == "wall" else time.process_time
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock, one process\n")
    print("| speed of a step / with XE | median | quartiles | min | max |\n|---|---|---|---|---|")
    results = {}
    for name, other in zip(arguments.losses, others):
        ratios = rounds_of(xe, other, arguments.rounds, read)
        results[name] = {**spread(ratios), "ratios": ratios}
        low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(f"| {name} | {median:.3f} | {low:.3f} to {high:.3f} | {min(ratios):.3f} | {max(ratios):.3f} |")
    save({"settings": vars(arguments), "ratios": results}, arguments.json)


if __name__ == "__main__":
    main()
