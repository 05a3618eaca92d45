"""Processes of one run as torchrun starts them, forked from one that has imported torch already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = ["biotrain.loop", "biotrain.finetune", "seqloom_cli.main", "torch._dynamo", "pandas",
             "torch.distributed.checkpoint.hf_storage", "torch.distributed.fsdp",
             "torch.nn.parallel"]  # fmt: skip


def start_team(arguments: Sequence[str], errors: Path, *, size: int = 2) -> list[BaseProcess]:
    """Starts `seqloom` with these arguments in `size` processes of a group of their own.

    Args:
        arguments: of the command line.
        errors: process N's standard error goes to `errors-N`, its result to `errors-N.out`.
        size: number of processes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    team = [
        context.Process(target=_run, args=(list(arguments), rank, size, port, f"{errors}-{rank}"))
        for rank in range(size)
    ]
    for process in team:
        process.start()
    return team


def _run(arguments: list[str], rank: int, size: int, port: str, errors: str) -> None:
    for descriptor, path in ((2, errors), (1, f"{errors}.out")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size),
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")  # fmt: skip
    from seqloom_cli.main import main

    try:
        main(arguments)
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(int(end.code or 0))
