"""One of several processes that train: what torchrun would start, without waiting for torchrun's own start.

Reads the command lines of `seqloom train` from a JSON file and runs one after the other, each with the step
in which it is to die (0 = none); then writes their exit codes beside that file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from biotrain import loop
from biotrain.distributed import joined
from seqloom_cli.main import main


class Killed(BaseException):
    """Ends a run as SIGKILL would."""


def run(arguments: list[str], die_at: int) -> int:
    """The exit code of a command; -9 where it was to die."""
    real = loop.train_step

    def train_step(parts: Any, rows: Any, step: int) -> Any:
        if step == die_at:
            raise Killed
        return real(parts, rows, step)

    loop.train_step = train_step
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    except Killed:
        return -9
    finally:
        loop.train_step = real
    return 0


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    plan = Path(sys.argv[1])
    with joined("ddp", device="cpu"):
        codes = [run(arguments, die_at) for arguments, die_at in json.loads(plan.read_text())]
    plan.with_name(f"codes-{os.environ['RANK']}.json").write_text(json.dumps(codes))
