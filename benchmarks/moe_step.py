"""A training step of the small mixture of experts against transformers' MixtralForCausalLM.

    python benchmarks/moe_step.py [--rounds 7] [--threads 2] [--clock wall|cpu] [--compile] [--json F]

Recipe moe-small-8m: 4 layers x 256, 4 heads on 2 of keys, 4 experts of width 512, 2 a token; vocabulary 128,
7.1 million parameters, 4.0 million active; batch 16 x 256 tokens, float32, CPU. A step is zero_grad, forward,
loss, backward, update; load-balance loss on in all, ours with the z loss besides.

Theirs is Mixtral with SDPA attention, `labels=`, `output_router_logits=True`, the fused AdamW, and each way
of computing experts that runs here: `grouped_mm` and the loop; `--compile` adds the former compiled. Each
contender lives in a process of its own and they take turns, one step each a round, after warm-up.
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

BATCH, LENGTH, VOCAB = 16, 256, 128
SHAPE: dict[str, Any] = {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512}
EXPERTS, TOP_K = 4, 2
CONTENDERS = ("seqloom", "seqloom plain", "mixtral grouped_mm", "mixtral loop")
WARM_UP = 3


def make_ours() -> Callable[[], float]:
    """Our step: lanes, losses and optimizer as the training loop has them."""
    import torch
    from torch.nn import functional as F

    from biotrain.lanes import Losses, lanes_for
    from biotrain.layers.routing import router_losses
    from biotrain.models import ModelConfig, MoEConfig, build_model

    moe = MoEConfig(experts=EXPERTS, top_k=TOP_K)
    model = build_model(ModelConfig(name="moe", context=LENGTH, moe=moe, **SHAPE), vocab_size=VOCAB)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    lanes = lanes_for(
        threads=torch.get_num_threads(), rows=BATCH, tokens=LENGTH, width=SHAPE["width"], dropout=0
    )
    ids = token_ids()

    def losses(part: Any) -> Losses:
        routing = model.new_routing()
        assert routing is not None
        logits = model(part[:, :-1], routing=routing)
        counts = torch.stack(routing.counts)
        whole = lanes.meet(torch.cat((counts.flatten(), routing.tokens[None])))
        counts = whole[:-1].view_as(counts)
        balance, z = router_losses(routing, counts=counts, tokens=whole[-1], top_k=TOP_K)
        loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()) / lanes.count
        return Losses(loss + moe.balance_loss * balance + moe.z_loss * z, loss.detach())

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        shares = lanes.backward(model, [partial(losses, part) for part in ids.chunk(lanes.count)])
        optimizer.step()
        return sum(share.item() for share in shares)

    return step


def make_theirs(experts: str, *, compiled: bool) -> Callable[[], float]:
    """transformers' step."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    settings: dict[str, Any] = dict(
        vocab_size=VOCAB, hidden_size=SHAPE["width"], intermediate_size=SHAPE["ffn"],
        num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["kv_heads"], max_position_embeddings=LENGTH, num_local_experts=EXPERTS,
        num_experts_per_tok=TOP_K, output_router_logits=True, use_cache=False, tie_word_embeddings=True,
        attn_implementation="sdpa", experts_implementation=experts,
    )  # fmt: skip
    model: Any = transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    if compiled:
        model = torch.compile(model)
    ids = token_ids()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def make(name: str) -> Callable[[], float]:
    """The step of a contender; building ours asks the C library to keep freed memory."""
    from contextlib import nullcontext

    if name.startswith("mixtral"):
        kind = "eager" if name.endswith("loop") else "grouped_mm"
        return make_theirs(kind, compiled=name.endswith("compiled"))
    from biotrain.fast_memory import keep_freed_memory
    from biotrain.layers.kernels import plain_kernels

    keep_freed_memory()
    step = make_ours()

    def run() -> float:
        with plain_kernels() if name.endswith("plain") else nullcontext():
            return step()

    return run


def token_ids() -> Any:
    """The same random batch for all."""
    import torch

    return torch.randint(6, VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))


def serve(name: str, threads: int, clock: str, pipe: Connection) -> None:
    """A contender's process: one timed step per message until `None` comes."""
    import torch

    torch.set_num_threads(threads)
    step = make(name)
    for _ in range(WARM_UP):
        step()
    pipe.send("ready")
    read = time.perf_counter if clock == "wall" else time.process_time
    while pipe.recv() is not None:
        start = read()
        loss = step()
        pipe.send({"seconds": read() - start, "loss": loss})


def run(names: list[str], arguments: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
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
    parser.add_argument("--compile", action="store_true", help="with transformers compiled")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = [*CONTENDERS, *(["mixtral compiled"] if arguments.compile else [])]
    rounds = run(names, arguments)
    tokens = BATCH * LENGTH * (arguments.threads if arguments.clock == "cpu" else 1)
    speeds = {name: [tokens / r[name]["seconds"] for r in rounds] for name in names}
    ratios = {
        f"seqloom / {name}": spread([a / b for a, b in zip(speeds["seqloom"], speeds[name])])
        for name in names[1:]
    }
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock\n")
    print("| contender | tokens/s median | min | max |\n|---|---|---|---|")
    for name in names:
        s = spread(speeds[name])
        print(f"| {name} | {s['median']:.0f} | {s['min']:.0f} | {s['max']:.0f} |")
    print("\n| ratio of speeds | median | min | max |\n|---|---|---|---|")
    for name, s in ratios.items():
        print(f"| {name} | {s['median']:.3f} | {s['min']:.3f} | {s['max']:.3f} |")
    if arguments.json:
        about = {"machine": platform.processor() or platform.machine(), "settings": vars(arguments)}
        speeds_said = {name: spread(values) for name, values in speeds.items()}
        result = {**about, "tokens_per_s": speeds_said, "ratios": ratios, "rounds": rounds}
        arguments.json.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
