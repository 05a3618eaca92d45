"""What the GPU scripts share: their options, the device, its clock.

`--rehearse` runs a script on the CPU, to see that it still works; its figures mean nothing then.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def options(about: str | None, **numbers: int) -> argparse.ArgumentParser:
    """A parser with `--json`, `--rehearse` and an option for each number, of which the default is given."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, only to try the script")
    return parser


def device_of(arguments: argparse.Namespace) -> torch.device | None:
    """Where to run; `None`, and a line that says so, where there is no GPU."""
    if arguments.rehearse:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        print("not run: no CUDA device")
        return None
    return torch.device("cuda")


def name_of(device: torch.device) -> str:
    """As the maker calls it."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "rehearsal on the CPU"


def milliseconds(run: Callable[[], Any], rounds: int, device: torch.device) -> list[float]:
    """Of each round, by the device's own clock."""
    found = []
    for _ in range(rounds):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            found.append(begin.elapsed_time(end))
        else:
            start = time.perf_counter()
            run()
            found.append(1e3 * (time.perf_counter() - start))
    return found


def save(result: dict[str, Any], path: Path | None) -> None:
    """Writes the result as JSON where that is asked for."""
    if path:
        path.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
