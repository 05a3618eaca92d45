"""Tokens per second of a training step against the length of sequences and the size of the model.

    python benchmarks/length_scaling.py [--short] [--kinds attention mamba mamba-2 hyena based]
        [--lengths 64 ... 16384] [--size 8] [--sizes 1 8 50 150] [--length 1024] [--tokens 4096] [--steps 3]
        [--minutes N] [--device cpu|cuda] [--threads 2] [--clock wall|cpu] [--plot docs/length_scaling.png]
        [--json F]

Two rows of measurements: `--lengths` at one `--size` (millions of parameters), `--sizes` at one `--length`.
A step reads `--tokens` tokens, or one sequence where that is longer: forward, loss, backward, update, float32
on the CPU, bfloat16 autocast on a GPU. Each model has as many layers as come nearest to the size at its
width. Each measurement has a process of its own, cheap ones first, takes the median of `--steps` after one of
warm-up, and is left out when a step took `--limit` seconds, or more memory than there is, at a smaller length
or size of the same kind.

`--minutes N` keeps the whole within N minutes: what is left is shared out evenly over the measurements to
come, each times as many steps as its share has room for (where there is room for none, the warm-up counts;
the last column says so), and one whose first step alone is expected to take longer than all that is left is
not made: it stands in the table as "over budget" and as a cross at the foot of the plot, and is made when the
same `--json` is given more time. `--minutes 12 --tokens 1024` is a whole plot on two idle cores.

With `--json F` every measurement is kept as soon as it is made: the same command goes on where it was
stopped, a longer list of lengths or sizes measures only what is new, and `--draw-only` draws what is there.
Measurements with other `--tokens`, `--steps`, `--device`, `--threads` or `--clock` are not mixed: another
file is asked for.

Without `--minutes` all of it takes hours on a CPU; `--short` takes a minute or two: up to 2048 tokens and 8
million parameters, 2048 tokens a step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from length_plot import draw

KINDS = {"attention": "llama", "mamba": "mamba", "mamba-2": "mamba2", "hyena": "hyena", "based": "based"}
WIDTHS = {1: 128, 8: 256, 50: 512, 150: 768}
VOCAB = 16
LENGTHS = (64, 256, 1024, 4096, 16_384)
START = 8.0
"""Seconds until a process has loaded torch and built its model, as far as a budget reckons with them."""

KILLED, OVER = "killed", "over budget"
"""Why a measurement lacks numbers."""


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


def rows_of(case: Case, options: argparse.Namespace) -> int:
    """Sequences of a step."""
    return max(1, options.tokens // case.length)


def operations(case: Case, options: argparse.Namespace) -> float:
    """Floating-point operations of a step, by which measurements are ordered and their time is guessed."""
    from biotrain.models import flops_per_token

    per_token = flops_per_token(config_of(case), vocab_size=VOCAB, length=case.length)
    return per_token * case.length * rows_of(case, options)


def measure(case: Case, options: argparse.Namespace, share: float) -> dict[str, Any]:
    """Seconds of a step and tokens per second, of as many steps as start within `share` seconds."""
    import torch
    from torch.nn import functional as F

    from biotrain.fast_memory import keep_freed_memory
    from biotrain.models import build_model, count_parameters

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    config = config_of(case)
    model = build_model(config, vocab_size=VOCAB).to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    rows = rows_of(case, options)
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
    seconds, begin = [], time.monotonic()
    for _ in range(options.steps + 1):
        start = read()
        step()
        seconds.append((read() - start) / (options.threads if options.clock == "cpu" else 1))
        passed = time.monotonic() - begin
        if seconds[-1] > options.limit or passed + passed / len(seconds) > share:
            break
    taken = statistics.median(seconds[1:] or seconds)
    parameters = count_parameters(config, vocab_size=VOCAB)["total"]
    made = {"parameters": parameters, "layers": config.layers, "width": config.width}
    speed = {"timed": len(seconds) - 1, "seconds": taken, "tokens_per_s": rows * case.length / taken}
    return {**case._asdict(), **made, **speed}


def run(cases: Iterable[Case], options: argparse.Namespace, known: Known) -> None:
    """Each case that is not known in a process of its own, none beyond the limit of its kind, all printed."""
    cases = sorted(dict.fromkeys(cases), key=lambda case: operations(case, options))
    end = time.monotonic() + 60 * options.minutes if options.minutes else None
    for number, case in enumerate(cases):
        if case not in known and not options.draw_only and not is_beyond(case, known, options):
            left = float("inf") if end is None else end - time.monotonic()
            share = left / sum(other not in known for other in cases[number:]) - START
            if START + expected(case, known, options) > left:
                known[case] = without_numbers(case, OVER)
            else:
                known[case] = alone(case, options, share)
            keep(known, options)
        if case in known:
            print_row(known[case])


def is_beyond(case: Case, known: Known, options: argparse.Namespace) -> bool:
    """Whether one of its kind, neither longer nor larger, was too slow or too large already."""
    return any(
        other.kind == case.kind and other.size <= case.size and other.length <= case.length
        for other, row in known.items()
        if row.get("why") == KILLED or (row["seconds"] or 0) > options.limit
    )


def expected(case: Case, known: Known, options: argparse.Namespace) -> float:
    """Seconds of its first step by the dearest of its kind that is known, 0 where none is."""
    made = [row for other, row in known.items() if other.kind == case.kind and row["seconds"] is not None]
    if not made:
        return 0.0
    last = max(made, key=lambda row: row["seconds"])
    base = Case(last["kind"], last["size"], last["length"])
    return last["seconds"] * operations(case, options) / operations(base, options)


def alone(case: Case, options: argparse.Namespace, share: float) -> dict[str, Any]:
    """A measurement; without numbers where its process was killed, as for want of memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, case, options, share).result()
        except BrokenProcessPool:
            return without_numbers(case, KILLED)


def without_numbers(case: Case, why: str) -> dict[str, Any]:
    """What stands for a measurement that was not made."""
    return {
        **case._asdict(),
        "parameters": None,
        "timed": 0,
        "seconds": None,
        "tokens_per_s": None,
        "why": why,
    }


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
    measured = [row for row in before["measured"] if options.draw_only or row.get("why") != OVER]
    return {Case(row["kind"], row["size"], row["length"]): row for row in measured}


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
        values = (found["kind"], f"{found['size']}M", found["length"], found.get("why", KILLED), "-", "-")
    else:
        size, speed = f"{found['parameters'] / 1e6:.1f}M", f"{found['tokens_per_s']:.0f}"
        timed = found.get("timed") or "the warm-up"
        values = (found["kind"], size, found["length"], f"{found['seconds']:.2f}", speed, timed)
    print(f"| {' | '.join(map(str, values))} |", flush=True)


def plan(options: argparse.Namespace) -> tuple[list[Case], list[Case]]:
    """By length and by size."""
    by_length = [Case(k, options.size, n) for k in options.kinds for n in sorted(options.lengths)]
    by_size = [Case(k, n, options.length) for k in options.kinds for n in sorted(options.sizes)]
    return by_length, by_size


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
    parser.add_argument("--minutes", type=float, help="for all measurements together")
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
    panels = plan(options)
    print(
        "| kind | parameters | length | seconds a step | tokens/s | steps timed |\n|---|---|---|---|---|---|"
    )
    known = recall(options)
    run([*panels[0], *panels[1]], options, known)
    draw(panels, known, options)


if __name__ == "__main__":
    main()
