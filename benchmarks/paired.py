"""Steps of several contenders timed in turns: a process each, one step each a round, after warm-up."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

WARM_UP = 3

Step = Callable[[], float]
"""Does one step and returns its loss."""


def options(about: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU seconds / threads")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="steps of each before the rounds")
    parser.add_argument("--json", type=Path)
    return parser


def compare(
    make: Callable[[str], Step], names: Sequence[str], arguments: argparse.Namespace, *, tokens: int,
    pairs: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:  # fmt: skip
    """Times the steps, prints the tables and returns what `--json` keeps.

    Args:
        make: builds the step of a contender, in its own process; a function of a module.
        names: contenders.
        arguments: of `options`.
        tokens: of a step.
        pairs: contenders whose ratio of speeds is wanted; by default the first's over each of the others'.
    """
    rounds = _run(make, names, arguments)
    counted = tokens * (arguments.threads if arguments.clock == "cpu" else 1)
    speeds = {name: [counted / r[name]["seconds"] for r in rounds] for name in names}
    ratios = {
        f"{one} / {other}": spread([a / b for a, b in zip(speeds[one], speeds[other])])
        for one, other in pairs or [(names[0], name) for name in names[1:]]
        if one in names and other in names
    }
    said = {name: spread(values) for name, values in speeds.items()}
    _print_table("contender | tokens/s median", said, digits=0)
    _print_table("ratio of speeds | median", ratios, digits=3)
    about = {"machine": platform.processor() or platform.machine(), "settings": vars(arguments)}
    return {**about, "tokens_per_s": said, "ratios": ratios, "rounds": rounds}


def save(result: dict[str, Any], path: Path | None) -> None:
    """Writes the result as JSON where that is asked for."""
    if path:
        path.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _serve(make: Callable[[str], Step], name: str, arguments: argparse.Namespace, pipe: Connection) -> None:
    """A contender's process: one timed step per message until `None` comes."""
    import torch

    torch.set_num_threads(arguments.threads)
    step = make(name)
    for _ in range(arguments.warm_up):
        step()
    pipe.send("ready")
    read = time.perf_counter if arguments.clock == "wall" else time.process_time
    while pipe.recv() is not None:
        start = read()
        loss = step()
        pipe.send({"seconds": read() - start, "loss": loss})


def _run(
    make: Callable[[str], Step], names: Sequence[str], arguments: argparse.Namespace
) -> list[dict[str, dict[str, float]]]:
    """Rounds in which processes take turns, every second one the other way round."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    for name in names:
        pipes[name], theirs = context.Pipe()
        context.Process(target=_serve, args=(make, name, arguments, theirs), daemon=True).start()
        theirs.close()
        pipes[name].recv()
    rounds = []
    for number in range(arguments.rounds):
        order = list(names) if number % 2 == 0 else list(names)[::-1]
        rounds.append({name: _ask(pipes[name]) for name in order})
    for pipe in pipes.values():
        pipe.send(None)
    return rounds


def _ask(pipe: Any) -> dict[str, float]:
    """One step of a process."""
    pipe.send("step")
    return pipe.recv()


def _print_table(title: str, rows: dict[str, dict[str, float]], *, digits: int) -> None:
    print(f"\n| {title} | min | max |\n|---|---|---|---|")
    for name, s in rows.items():
        print(f"| {name} | {s['median']:.{digits}f} | {s['min']:.{digits}f} | {s['max']:.{digits}f} |")
