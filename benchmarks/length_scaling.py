"""Tokens per second of a training step against the length of sequences and the size of the model.

    python benchmarks/length_scaling.py [--short] [--kinds attention mamba mamba-2 hyena based]
        [--lengths 64 ... 16384] [--size 8] [--sizes 1 8 50 150] [--length 1024] [--tokens 4096] [--steps 3]
        [--device cpu|cuda] [--threads 2] [--clock wall|cpu] [--plot docs/length_scaling.png] [--json F]

Two rows of measurements: `--lengths` at one `--size` (millions of parameters), `--sizes` at one `--length`.
A step reads `--tokens` tokens, or one sequence where that is longer: forward, loss, backward, update, float32
on the CPU, bfloat16 autocast on a GPU. Each model has as many layers as come nearest to the size at its
width. Each measurement has a process of its own, takes the median of `--steps` after one of warm-up, and is
left out when a step took `--limit` seconds, or more memory than there is, at a smaller length or size of the
same kind.

With `--json F` every measurement is kept as soon as it is made: the same command goes on where it was
stopped, a longer list of lengths or sizes measures only what is new, and `--draw-only` draws what is there.
Measurements with other `--tokens`, `--steps`, `--device`, `--threads` or `--clock` are not mixed: another
file is asked for.

All of it takes hours on a CPU; `--short` takes a minute or two: up to 2048 tokens and 8 million parameters,
2048 tokens a step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

KINDS = {"attention": "llama", "mamba": "mamba", "mamba-2": "mamba2", "hyena": "hyena", "based": "based"}
WIDTHS = {1: 128, 8: 256, 50: 512, 150: 768}
VOCAB = 16
LENGTHS = (64, 256, 1024, 4096, 16_384)


class Case(NamedTuple):
    """One measurement."""

    kind: str
    size: int
    length: int


Known = dict[Case, dict[str, Any]]


def config_of(case: Case) -> Any:
    """The shape: layers that come nearest to the size."""
    from biotrain.models import ModelConfig, count_parameters

    width = WIDTHS[min(WIDTHS, key=lambda size: abs(size - case.size))]

    def shape(layers: int) -> Any:
        return ModelConfig(name=KINDS[case.kind], width=width, layers=layers, context=case.length)

    one, two = (count_parameters(shape(n), vocab_size=VOCAB)["total"] for n in (5, 10))
    return shape(max(1, round(5 + 5 * (case.size * 1e6 - one) / (two - one))))


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step and tokens per second."""
    import torch
    from torch.nn import functional as F

    from biotrain.fast_memory import keep_freed_memory
    from biotrain.models import build_model, count_parameters

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    config = config_of(case)
    model = build_model(config, vocab_size=VOCAB).to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    rows = max(1, options.tokens // case.length)
    ids = torch.randint(6, VOCAB, (rows, case.length), device=options.device)
    on_gpu = options.device == "cuda"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            logits = model(ids)[:, :-1]
        F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()).backward()
        optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()

    read = time.perf_counter if options.clock == "wall" else time.process_time
    seconds = []
    for _ in range(options.steps + 1):
        start = read()
        step()
        seconds.append((read() - start) / (options.threads if options.clock == "cpu" else 1))
        if seconds[-1] > options.limit:
            break
    taken = statistics.median(seconds[1:] or seconds)
    parameters = count_parameters(config, vocab_size=VOCAB)["total"]
    return {**case._asdict(), "parameters": parameters, "layers": config.layers, "width": config.width,
            "seconds": taken, "tokens_per_s": rows * case.length / taken}  # fmt: skip


def run(cases: list[Case], options: argparse.Namespace, known: Known) -> list[dict[str, Any]]:
    """Each case in a process of its own, known ones not again, none beyond the limit of its kind."""
    slow: set[str] = set()
    results = []
    for case in cases:
        if case.kind in slow or (options.draw_only and case not in known):
            continue
        if case not in known:
            known[case] = alone(case, options)
            keep(known, options)
        print_row(known[case])
        if known[case]["seconds"] is None:
            slow.add(case.kind)
            continue
        results.append(known[case])
        if known[case]["seconds"] > options.limit:
            slow.add(case.kind)
    return results


def alone(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """A measurement; without numbers where its process was killed, as for want of memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, case, options).result()
        except BrokenProcessPool:
            return {**case._asdict(), "parameters": None, "seconds": None, "tokens_per_s": None}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What all measurements of a file have in common."""
    return {name: getattr(options, name) for name in ("tokens", "steps", "device", "threads", "clock")}


def recall(options: argparse.Namespace) -> Known:
    """The measurements that `--json` has already."""
    if not options.json or not options.json.is_file():
        return {}
    before = json.loads(options.json.read_text(encoding="utf-8"))
    if before["settings"] != settings_of(options):
        sys.exit(f"{options.json} was measured with {before['settings']}: name another --json")
    return {Case(row["kind"], row["size"], row["length"]): row for row in before["measured"]}


def keep(known: Known, options: argparse.Namespace) -> None:
    """Writes all measurements, under another name first, so that a stopped run leaves a whole file."""
    if not options.json:
        return
    about = {"machine": platform.processor() or platform.machine(), "settings": settings_of(options)}
    part = options.json.with_name(f".{options.json.name}.part")
    text = json.dumps({**about, "measured": list(known.values())}, indent=2)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(options.json)


def print_row(found: dict[str, Any]) -> None:
    """A row of the table."""
    if found["seconds"] is None:
        values = (found["kind"], f"{found['size']}M", found["length"], "killed", "-")
    else:
        size, speed = f"{found['parameters'] / 1e6:.1f}M", f"{found['tokens_per_s']:.0f}"
        values = (found["kind"], size, found["length"], f"{found['seconds']:.2f}", speed)
    print(f"| {' | '.join(map(str, values))} |", flush=True)


def plan(options: argparse.Namespace) -> tuple[list[Case], list[Case]]:
    """By length, then by size, the cheap ones first."""
    by_length = [Case(k, options.size, n) for k in options.kinds for n in sorted(options.lengths)]
    by_size = [Case(k, n, options.length) for k in options.kinds for n in sorted(options.sizes)]
    return by_length, by_size


def draw(by_length: list[dict[str, Any]], by_size: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Two panels, logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    panels = ((by_length, "length", f"tokens of a sequence ({options.size}M parameters)"),
              (by_size, "parameters", f"parameters ({options.length} tokens)"))  # fmt: skip
    for axis, (rows, key, label) in zip(axes, panels):
        for kind in options.kinds:
            mine = [row for row in rows if row["kind"] == kind]
            axis.plot([r[key] for r in mine], [r["tokens_per_s"] for r in mine], marker="o", label=kind)
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_xticks(options.lengths, [str(n) for n in options.lengths])
    axes[0].minorticks_off()
    axes[0].set_ylabel("tokens / s, training")
    axes[1].legend()
    figure.suptitle(f"{options.device}, {options.threads} threads, {options.clock} clock")
    figure.savefig(options.plot, dpi=110)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a minute or two")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(WIDTHS))
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU seconds / threads")
    parser.add_argument("--plot", type=Path, default=Path("docs/length_scaling.png"))
    parser.add_argument("--json", type=Path, help="measurements are kept there and not made again")
    parser.add_argument("--draw-only", action="store_true", help="measure nothing: table and plot of --json")
    options = parser.parse_args()
    if options.short:
        options.lengths, options.sizes, options.length = [64, 256, 1024, 2048], [1, 8], 256
        options.tokens, options.steps, options.limit = 2048, 2, 60.0
    return options


def main() -> None:
    options = parse()
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            print("not run: no CUDA device")
            sys.exit(0)
    by_length, by_size = plan(options)
    print("| kind | parameters | length | seconds a step | tokens/s |\n|---|---|---|---|---|", flush=True)
    known = recall(options)
    found = [run(cases, options, known) for cases in (by_length, by_size)]
    draw(*found, options)


if __name__ == "__main__":
    main()
