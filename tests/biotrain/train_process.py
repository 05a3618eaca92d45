"""`biotrain.loop.train` in a process of its own, for the tests that kill or interrupt it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from biodata.errors import SeqloomError
from biotrain.config import TrainConfig


def start(config: TrainConfig, errors: Path) -> BaseProcess:
    """Starts training; `errors` gets the process's standard error.

    The processes are forked from one that has imported torch already, and what torch imports on first use,
    and has computed nothing.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["biotrain.loop", "torch._dynamo", "pandas"])
    process = context.Process(target=_run, args=(config, errors))
    process.start()
    return process


def _run(config: TrainConfig, errors: Path) -> None:
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    from biotrain.loop import train

    try:
        train(config)
    except SeqloomError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
