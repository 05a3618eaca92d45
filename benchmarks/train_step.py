"""A training step of the 8M-parameter GPT against transformers' GPT2LMHeadModel, and HXE against XE.

    python benchmarks/train_step.py [--rounds 7] [--threads 2] [--clock wall|cpu] [--one-process] [--json F]

10 layers x 256, 4 heads, vocabulary 70, batch 16 x 256 tokens, float32, CPU, dropout 0. A step is zero_grad,
forward, loss, backward, update. Ours is what `seqloom train` does: `build_model`, `build_loss`, the fused
AdamW of `build_optimizer`, parts of the batch side by side (`lanes_for`), freed memory kept. Theirs is
GPT2LMHeadModel with SDPA attention, `labels=`, and `torch.optim.AdamW(model.parameters())` as documented; a
line with the fused AdamW is shown too.

By default each contender lives in a process of its own, as a user runs it, and the processes take turns, one
step each a round, so that a busy machine disturbs the ratios of a round little. With `--one-process` all
share one process, and so all profit from the memory setting. Rounds begin after two steps of warm-up.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

BATCH, LENGTH, VOCAB, LAYERS, WIDTH, HEADS = 16, 256, 70, 10, 256, 4
CONTENDERS = ("seqloom", "seqloom hxe", "seqloom plain", "transformers", "transformers fused")
RATIOS = (
    ("seqloom", "transformers"),
    ("seqloom", "transformers fused"),
    ("seqloom", "seqloom plain"),
    ("seqloom hxe", "seqloom"),
)
WARM_UP = 2


def make_ours(loss_name: str) -> Callable[[], float]:
    """Our step: objective, model, loss, optimizer as the training loop builds them."""
    import torch

    from biodata.codon import CODONS
    from biodata.tokenizers.special import SPECIAL_TOKENS
    from biotrain.lanes import Losses, lanes_for
    from biotrain.losses import LossConfig, build_loss
    from biotrain.models import ModelConfig, build_model
    from biotrain.objectives import IGNORE, ObjectiveConfig, build_objective
    from biotrain.optim import OptimConfig, build_optimizer

    shape = ModelConfig(layers=LAYERS, width=WIDTH, heads=HEADS, context=LENGTH)
    model = build_model(shape, vocab_size=VOCAB)
    optimizer = build_optimizer(model, OptimConfig(lr=1e-3))
    loss_of = build_loss(LossConfig(name=loss_name), tokens=(*SPECIAL_TOKENS, *CODONS))
    objective = build_objective(ObjectiveConfig(name="clm"), vocab_size=VOCAB)
    ids, generator = token_ids(), torch.Generator()
    lanes = lanes_for(threads=torch.get_num_threads(), rows=BATCH, tokens=LENGTH, width=WIDTH, dropout=0)

    def losses(inputs: Any, targets: Any) -> Losses:
        rows = targets != IGNORE
        loss = loss_of(model(inputs, rows=rows), targets[rows])
        return Losses(loss / lanes.count, loss.detach() / lanes.count)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        inputs, targets = objective.prepare(ids, torch.ones_like(ids, dtype=torch.bool), generator)[:2]
        halves = zip(inputs.chunk(lanes.count), targets.chunk(lanes.count))
        shares = lanes.backward(model, [partial(losses, *half) for half in halves])
        optimizer.step()
        return sum(share.item() for share in shares)

    return step


def make_theirs(*, fused: bool) -> Callable[[], float]:
    """transformers' step."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    shape = transformers.GPT2Config(
        vocab_size=VOCAB, n_positions=LENGTH, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, bos_token_id=1, eos_token_id=2,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(shape).train()
    options = {"fused": True} if fused else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **options)
    ids = token_ids()

    def step() -> float:
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def make(name: str) -> Callable[[], float]:
    """The step of a contender; building ours asks the C library to keep freed memory."""
    from contextlib import nullcontext

    if name.startswith("transformers"):
        return make_theirs(fused=name.endswith("fused"))
    from biotrain.fast_memory import keep_freed_memory
    from biotrain.layers.kernels import plain_kernels

    keep_freed_memory()
    step = make_ours("hxe" if name.endswith("hxe") else "xe")

    def run() -> float:
        with plain_kernels() if name.endswith("plain") else nullcontext():
            return step()

    return run


def token_ids() -> Any:
    """The same random batch for all."""
    import torch

    return torch.randint(6, VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))


def timed(step: Callable[[], float], clock: str) -> dict[str, float]:
    """Seconds and loss of one step; CPU seconds are those of all threads of the process."""
    read = time.perf_counter if clock == "wall" else time.process_time
    start = read()
    loss = step()
    return {"seconds": read() - start, "loss": loss}


def serve(name: str, threads: int, clock: str, pipe: Connection) -> None:
    """A contender's process: one timed step per message until `None` comes."""
    import torch

    torch.set_num_threads(threads)
    step = make(name)
    for _ in range(WARM_UP):
        step()
    pipe.send("ready")
    while pipe.recv() is not None:
        pipe.send(timed(step, clock))


def run_apart(names: list[str], arguments: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
    """Rounds in which processes take turns."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    for name in names:
        pipes[name], theirs = context.Pipe()
        values = (name, arguments.threads, arguments.clock, theirs)
        context.Process(target=serve, args=values, daemon=True).start()
        theirs.close()
        pipes[name].recv()
    rounds = []
    for number in range(arguments.rounds):
        order = names if number % 2 == 0 else names[::-1]
        rounds.append({name: ask(pipes[name]) for name in order})
    for pipe in pipes.values():
        pipe.send(None)
    return rounds


def ask(pipe: Any) -> dict[str, float]:
    """One step of a process."""
    pipe.send("step")
    return pipe.recv()


def run_together(names: list[str], arguments: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
    """Rounds in this process."""
    import torch

    torch.set_num_threads(arguments.threads)
    steps = {name: make(name) for name in names}
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    rounds = []
    for number in range(arguments.rounds):
        order = names if number % 2 == 0 else names[::-1]
        rounds.append({name: timed(steps[name], arguments.clock) for name in order})
    return rounds


def summary(rounds: list[dict[str, dict[str, float]]], threads: int, clock: str) -> dict[str, Any]:
    """Tokens a second of each contender, and ratios of speed within rounds: median, least, most."""
    per_step = BATCH * LENGTH * (threads if clock == "cpu" else 1)
    speeds = {name: [per_step / r[name]["seconds"] for r in rounds] for name in rounds[0]}
    ratios = {
        f"{a} / {b}": spread([x / y for x, y in zip(speeds[a], speeds[b])])
        for a, b in RATIOS
        if a in speeds and b in speeds
    }
    return {"tokens_per_s": {name: spread(values) for name, values in speeds.items()}, "ratios": ratios}


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU seconds / threads")
    parser.add_argument("--one-process", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rounds = (run_together if arguments.one_process else run_apart)(arguments.only, arguments)
    result = summary(rounds, arguments.threads, arguments.clock)
    where = "one process" if arguments.one_process else "a process each"
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock, {where}\n")
    print("| contender | tokens/s median | min | max |\n|---|---|---|---|")
    for name, s in result["tokens_per_s"].items():
        print(f"| {name} | {s['median']:.0f} | {s['min']:.0f} | {s['max']:.0f} |")
    print("\n| ratio of speeds | median | min | max |\n|---|---|---|---|")
    for name, s in result["ratios"].items():
        print(f"| {name} | {s['median']:.3f} | {s['min']:.3f} | {s['max']:.3f} |")
    if arguments.json:
        about = {"machine": platform.processor() or platform.machine(), "settings": vars(arguments)}
        text = json.dumps({**about, **result, "rounds": rounds}, indent=2, default=str)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
