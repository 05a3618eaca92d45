"""Two processes stopped by signals or by the death of one: the run goes on with the same bits."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from biodata.configs import to_dict, write_yaml
from biotrain import loop
from biotrain.checkpoint import check_checkpoint, checkpoints
from biotrain.config import TrainConfig
from biotrain.models import MoEConfig
from tests.biotrain.conftest import TINY
from tests.biotrain.team_process import start_team

Make = Callable[..., TrainConfig]
Signals = Sequence[tuple[int, signal.Signals]]

STEPS = 16


def command(make: Make, out: Path, parallel: str) -> list[str]:
    """A run whose checkpoints, validations and log lines are out of step with each other."""
    model = dataclasses.replace(TINY, dropout=0.1)
    if parallel == "fsdp":
        model = dataclasses.replace(TINY, name="moe", position="auto", moe=MoEConfig(experts=4))
    config = make(out=out, model=model, batch_size=6, ema_decay=0.9, max_steps=STEPS, log_every=1,
                  eval_every=7, checkpoint_every=4, resume=True)  # fmt: skip
    write_yaml(out.with_suffix(".yaml"), to_dict(config))
    return ["train", "--config", str(out.with_suffix(".yaml")), "--json", "--parallel", parallel]


def lines(out: Path) -> list[dict[str, Any]]:
    text = (out / loop.LOG_FILE).read_text()
    return [
        {key: value for key, value in json.loads(line).items() if key not in loop.WALL_CLOCK}
        for line in text.splitlines()
    ]


def same(one: Path, other: Path) -> None:
    """Bit-identical weights, optimizer states and averages, and the same log."""
    files = sorted(
        path.relative_to(one) for path in one.rglob("*.safetensors") if f"step-{STEPS}" in str(path)
    )
    assert files
    for name in (*files, Path("model/model.safetensors")):
        there, here = load_file(one / name), load_file(other / name)  # a header's order is free
        assert there.keys() == here.keys()
        assert all(torch.equal(there[key], here[key]) for key in there), name
    assert lines(one) == lines(other)


def ended(team: list[BaseProcess], errors: Path) -> tuple[list[int | None], str]:
    """Exit codes, and what all have said on standard error."""
    for process in team:
        process.join(120)
    said = "".join(Path(f"{errors}-{rank}").read_text() for rank in range(len(team)))
    assert not any(process.is_alive() for process in team), said
    assert "Traceback" not in said, said
    return [process.exitcode for process in team], said


def wait_for_lines(team: list[BaseProcess], out: Path, count: int) -> None:
    log = out / loop.LOG_FILE
    before = log.stat().st_mtime_ns if log.exists() else 0
    while alive(team) and (log.stat().st_mtime_ns if log.exists() else 0) == before:
        time.sleep(0.001)
    wanted = len(log.read_bytes().splitlines()) + count if log.exists() else 0
    while alive(team) and len(log.read_bytes().splitlines()) < wanted:
        time.sleep(0.001)


def alive(team: list[BaseProcess]) -> bool:
    return all(process.is_alive() for process in team)


CTRL_C = ((0, signal.SIGINT), (1, signal.SIGINT), (0, signal.SIGTERM), (1, signal.SIGTERM))
"""What two processes get when the terminal and torchrun both send a signal."""


@pytest.mark.parametrize(("parallel", "size", "signals"), [("ddp", 3, CTRL_C[3:]), ("fsdp", 2, CTRL_C)])
def test_signals_and_deaths(
    tiny_config: Make, tmp_path: Path, parallel: str, size: int, signals: Signals
) -> None:
    """Stopped by signals to one or to all; then one is killed at a random moment; then it goes to its end."""
    choose, errors, out = random.Random(parallel), tmp_path / "errors", tmp_path / "run"
    whole, arguments = (command(tiny_config, tmp_path / name, parallel) for name in ("whole", "run"))
    assert ended(start_team(whole, errors, size=size), errors)[0] == [0] * size

    team = start_team(arguments, errors, size=size)
    wait_for_lines(team, out, choose.randint(1, 3))
    for rank, number in signals:
        send(team[rank], number)
    codes, said = ended(team, errors)
    step = check_checkpoint(checkpoints(out / "checkpoints")[-1]).step
    assert codes == [130] * size, said
    assert f"stopped after step {step} of {STEPS}: go on by the same command with --resume" in said

    team, dead = start_team(arguments, errors, size=size), choose.randrange(size)
    wait_for_lines(team, out, choose.randint(1, 3))
    time.sleep(choose.uniform(0, 0.02))
    team[dead].kill()
    codes, said = ended(team, errors)
    assert codes == [-9 if rank == dead else 1 for rank in range(size)], said
    assert dead == 0 or "error: another process has ended" in said

    assert ended(start_team(arguments, errors, size=size), errors)[0] == [0] * size
    same(out, tmp_path / "whole")
    assert not list(tmp_path.rglob("*.part"))


def send(process: BaseProcess, number: signal.Signals) -> None:
    assert process.pid
    os.kill(process.pid, number)
