"""Stopped by Ctrl-C, SIGTERM or SIGKILL and gone on with: the same bits and the same log."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from biodata.errors import ConfigError, DataError, InterruptedRunError, SeqloomError
from biotrain import loop
from biotrain.checkpoint import checkpoints
from biotrain.config import TrainConfig
from biotrain.log import StepResult
from biotrain.loop import WALL_CLOCK, train
from biotrain.objectives import ObjectiveConfig
from biotrain.optim import OPTIMIZERS, OptimConfig
from biotrain.rundir import locked
from biotrain.schedule import ScheduleConfig
from tests.biotrain.conftest import TINY
from tests.biotrain.train_process import start

Make = Callable[..., TrainConfig]


@pytest.fixture
def hard(tiny_config: Make) -> Make:
    """All that could break exactness: dropout, masks, accumulation, several epochs, log lines and
    checkpoints out of step with each other."""

    def make(**changes: Any) -> TrainConfig:
        return tiny_config(
            model=dataclasses.replace(TINY, name="bert", bidirectional=None, dropout=0.1),
            objective=ObjectiveConfig(name="mlm"),
            accumulate=2, max_steps=30, log_every=4, eval_every=7, checkpoint_every=5, **changes,
        )  # fmt: skip

    return make


def log_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / loop.LOG_FILE).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in WALL_CLOCK} for line in lines]


def same(one: Path, other: Path) -> None:
    """Bit-identical weights and optimizer, and the same log."""
    for name in ("model/model.safetensors", "checkpoints/step-30/optimizer.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert log_of(one) == log_of(other)


class Killed(BaseException):
    """Ends a run as SIGKILL would: nothing of ours catches it."""


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the run end in the middle of a step."""
    real = loop.train_step

    def train_step(parts: Any, rows: Any, number: int) -> StepResult:
        if number == step:
            raise Killed
        return real(parts, rows, number)

    monkeypatch.setattr(loop, "train_step", train_step)


def test_exact_wherever_it_ended(hard: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(hard(out=tmp_path / "whole"))
    for steps in ((1,), (6, 12), (5, 6, 7, 8, 30), (29, 30)):
        out = tmp_path / "-".join(map(str, steps))
        for step in steps:
            with monkeypatch.context() as patch, pytest.raises(Killed):
                die_at(step, patch)
                train(hard(out=out, resume=True))
        train(hard(out=out, resume=True))
        same(out, tmp_path / "whole")


@pytest.mark.parametrize("place", ["export_model", "write_json", "save_checkpoint"])
def test_exact_when_it_ended_while_writing(
    hard: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    train(hard(out=tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, place, die)
        train(hard(out=tmp_path / "other"))
    train(hard(out=tmp_path / "other", resume=True))
    same(tmp_path / "other", tmp_path / "whole")


def test_exact_after_sigkill_at_random_moments(hard: Make, tmp_path: Path) -> None:
    """Ten kills; a run that ends by itself in between is compared and begun anew."""
    out, choose, kills, resumed = tmp_path / "killed", random.Random(7), 0, 0
    train(hard(out=tmp_path / "whole"))
    while kills < 10:
        resumed += bool(checkpoints(out / "checkpoints"))
        process = start(hard(out=out, resume=True), tmp_path / "errors.txt")
        wait_for_lines(process, out, choose.randint(1, 10))
        process.join(choose.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), (tmp_path / "errors.txt").read_text()
        kills += process.exitcode != 0
        if process.exitcode == 0:
            same(out, tmp_path / "whole")
            shutil.rmtree(out)
    assert resumed, "every kill came before the first checkpoint"
    train(hard(out=out, resume=True))
    same(out, tmp_path / "whole")


def wait_for_lines(process: BaseProcess, out: Path, count: int) -> None:
    """Until the process has opened the log, which it does before its first step, and added some lines."""
    log = out / loop.LOG_FILE
    before = log.stat().st_mtime_ns if log.exists() else 0
    while process.is_alive() and (log.stat().st_mtime_ns if log.exists() else 0) == before:
        time.sleep(0.001)
    wanted = len(log.read_bytes().splitlines()) + count if log.exists() else 0
    while process.is_alive() and len(log.read_bytes().splitlines()) < wanted:
        time.sleep(0.001)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint(hard: Make, tmp_path: Path, number: signal.Signals) -> None:
    config = dataclasses.replace(hard(out=tmp_path / "run"), max_steps=100_000, checkpoint_every=0)
    process = start(config, tmp_path / "errors.txt")
    log = tmp_path / "run" / loop.LOG_FILE
    while process.is_alive() and not (log.exists() and len(log.read_bytes().splitlines()) >= 3):
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, number)
    process.join(60)
    errors = (tmp_path / "errors.txt").read_text()
    assert process.exitcode == 130, errors
    (found,) = checkpoints(tmp_path / "run" / "checkpoints")
    step = int(found.name.removeprefix("step-"))
    last = errors.splitlines()[-1]
    assert last == f"stopped after step {step:,} of 100,000: go on by the same command with --resume"
    assert "Traceback" not in errors


@pytest.mark.parametrize("moment", ["train_step", "validate"])
def test_exact_after_an_interrupt(
    hard: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Asked to stop in a step or in a validation, on a step without a checkpoint of its own."""
    train(hard(out=tmp_path / "whole"))
    real, calls = getattr(loop, moment), []

    def ask(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == (13 if moment == "train_step" else 2):
            signal.raise_signal(signal.SIGINT)
        return real(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError, match="--resume") as caught:
        patch.setattr(loop, moment, ask)
        train(hard(out=tmp_path / "other"))
    assert caught.value.exit_code == 130
    with pytest.raises(ConfigError, match="has not ended: give --resume"):
        train(hard(out=tmp_path / "other"))
    with pytest.raises(ConfigError, match=r"another configuration \(seed 0 -> 3\)"):
        train(hard(out=tmp_path / "other", seed=3, resume=True))
    train(hard(out=tmp_path / "other", resume=True))
    same(tmp_path / "other", tmp_path / "whole")


def test_damage_is_told_and_the_older_one_serves(
    hard: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(hard(out=tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(12, patch)
        train(hard(out=tmp_path / "other"))
    newest = tmp_path / "other" / "checkpoints" / "step-10"
    (newest / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"step-10/model\.safetensors: truncated .* go on from step-5"):
        train(hard(out=tmp_path / "other", resume=True))
    shutil.rmtree(newest)
    train(hard(out=tmp_path / "other", resume=True))
    same(tmp_path / "other", tmp_path / "whole")


def test_a_log_that_lost_lines_is_refused(
    hard: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(12, patch)
        train(hard(out=tmp_path / "run"))
    (tmp_path / "run" / loop.LOG_FILE).write_text("")
    with pytest.raises(DataError, match="shorter than the"):
        train(hard(out=tmp_path / "run", resume=True))


def test_one_process_at_a_time(hard: Make, tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(SeqloomError, match="another process is training"):
        train(hard(out=tmp_path / "run"))


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_exact_with_every_optimizer(
    hard: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, average: float
) -> None:
    """Killed twice; with the average on the CPU, noise, and a schedule that remembers validations."""
    schedule = ScheduleConfig(name="plateau", patience=0, noise=(0.0,), noise_std=0.1)
    more = {"optim": OptimConfig(name=name, lr=1e-2), "schedule": schedule, "seed": 1}
    more |= {"ema_decay": average, "ema_on_cpu": average > 0}

    def config(out: str) -> TrainConfig:
        return dataclasses.replace(hard(out=tmp_path / out, resume=True, **more), max_steps=12, eval_every=2)

    train(config("whole"))
    for step in (6, 12):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at(step, patch)
            train(config("other"))
    train(config("other"))
    for file in ("model/model.safetensors", "checkpoints/step-12/optimizer.safetensors"):
        assert (tmp_path / "other" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert log_of(tmp_path / "other") == log_of(tmp_path / "whole")
