"""A run that goes on for more steps equals one that had them from the start, or is refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biodata.errors import ConfigError
from biotrain.config import TrainConfig
from biotrain.loop import train
from biotrain.rundir import SUMMARY_FILE, finished
from biotrain.schedule import ScheduleConfig
from tests.biotrain.test_resume import Killed, die_at, log_of

Make = Callable[..., TrainConfig]


def same(one: Path, other: Path, step: int) -> None:
    for name in ("model/model.safetensors", f"checkpoints/step-{step}/optimizer.safetensors", "config.yaml"):
        left, right = (folder / name for folder in (one, other))
        if name == "config.yaml":
            texts = [file.read_text().replace(str(file.parent), "RUN") for file in (left, right)]
            assert texts[0] == texts[1].replace("resume: false", "resume: true")
        else:
            assert left.read_bytes() == right.read_bytes(), name
    assert log_of(one) == log_of(other)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "constant", "warmup_steps": 2},
        {"name": "wsd", "warmup_steps": 2, "decay_fraction": 0.3, "noise": ()},
        {"name": "plateau", "warmup_steps": 0, "patience": 0, "decay_rate": 0.5},
        {"name": "step", "warmup_steps": 3, "decay_steps": 4},
    ],
)
def test_the_longer_run(tiny_config: Make, tmp_path: Path, settings: dict[str, Any]) -> None:
    """From a run that has ended, or for `wsd` from one that was killed before its fall; a log line and a
    validation fall on no or on other steps than the end."""
    schedule = ScheduleConfig(**settings)
    more = {"schedule": schedule, "log_every": 4, "eval_every": 5, "ema_decay": 0.9, "checkpoint_every": 4}
    train(tiny_config(out=tmp_path / "long", max_steps=20, **more))
    with pytest.MonkeyPatch.context() as patch:
        try:
            if schedule.name == "wsd":
                die_at(6, patch)
            train(tiny_config(out=tmp_path / "short", max_steps=10, **more))
        except Killed:
            pass
    train(tiny_config(out=tmp_path / "short", max_steps=20, resume=True, **more))
    same(tmp_path / "short", tmp_path / "long", 20)


def test_killed_on_the_way(tiny_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By epochs; killed after the summary has gone, it goes on by the same command."""
    more = {"schedule": ScheduleConfig(name="constant", warmup_steps=1), "max_steps": None}
    train(tiny_config(out=tmp_path / "long", epochs=2, **more))
    train(tiny_config(out=tmp_path / "short", **more))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(17, patch)
        train(tiny_config(out=tmp_path / "short", epochs=2, resume=True, **more))
    assert not (tmp_path / "short" / SUMMARY_FILE).exists()
    train(tiny_config(out=tmp_path / "short", epochs=2, resume=True, **more))
    same(tmp_path / "short", tmp_path / "long", 30)


def test_what_would_have_been_another_run(
    tiny_config: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train(tiny_config(schedule=ScheduleConfig(warmup_steps=2)))
    anew = rf"begin a new run from its weights by --init-from {out} --out OTHER$"
    with pytest.raises(ConfigError, match=r"max_steps 12 -> 20\): .* or give --resume to go on with it$"):
        train(tiny_config(max_steps=20, schedule=ScheduleConfig(warmup_steps=2)))
    said = (
        r"run has done 12 of 12 steps; with 20 by schedule 'cosine' the learning rate of step 3 would have "
    )
    with pytest.raises(ConfigError, match=said + r"been 0\.\d+ instead of 0\.\d+, so that .*: " + anew):
        train(tiny_config(max_steps=20, resume=True, schedule=ScheduleConfig(warmup_steps=2)))
    with pytest.raises(ConfigError, match="has done 12 steps, more than the 6 wanted now"):
        train(tiny_config(max_steps=6, resume=True, schedule=ScheduleConfig(warmup_steps=2)))
    with pytest.raises(ConfigError, match=r"another configuration .*seed 0 -> 1"):
        train(tiny_config(max_steps=20, resume=True, seed=1, schedule=ScheduleConfig(warmup_steps=2)))
    elsewhere = tiny_config(device="auto", schedule=ScheduleConfig(warmup_steps=2))
    assert (finished(elsewhere, out, inputs={}) or {})["step"] == 12  # another device is no other run
    assert "nothing was done" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="was trained on another dataset"):
        finished(elsewhere, out, inputs={"dataset": "other"})
    assert "nothing was done" not in capsys.readouterr().err
    shutil.rmtree(out / "checkpoints")
    with pytest.raises(ConfigError, match=rf"run has no checkpoint left to go on from: {anew}"):
        train(tiny_config(max_steps=20, resume=True, schedule=ScheduleConfig(warmup_steps=2)))


def test_the_way_out_is_named(tiny_config: Make, tmp_path: Path) -> None:
    """The warm-up that a share of the steps gave, and the checkpoint before the fall."""
    train(tiny_config(schedule=ScheduleConfig(name="constant", warmup_fraction=0.25)))
    with pytest.raises(
        ConfigError, match=r"step 1 would .*: give --warmup-steps 3 too, the warm-up that it had$"
    ):
        train(
            tiny_config(
                max_steps=20, resume=True, schedule=ScheduleConfig(name="constant", warmup_fraction=0.25)
            )
        )
    train(tiny_config(max_steps=14, resume=True, schedule=ScheduleConfig(name="constant", warmup_steps=3)))

    more = {
        "schedule": ScheduleConfig(name="wsd", warmup_steps=1, decay_fraction=0.5),
        "out": tmp_path / "wsd",
    }
    train(tiny_config(**more, keep_checkpoints=0))
    late = (
        rf"delete {tmp_path}/wsd/checkpoints/step-10 and \S+/step-12 to go on from step-5, which is the same"
    )
    with pytest.raises(ConfigError, match=late):
        train(tiny_config(max_steps=20, resume=True, **more))
    for step in (10, 12):
        shutil.rmtree(tmp_path / "wsd" / "checkpoints" / f"step-{step}")
    train(tiny_config(max_steps=20, resume=True, **more))
    train(tiny_config(max_steps=20, **more | {"out": tmp_path / "long"}))
    assert log_of(tmp_path / "wsd") == log_of(tmp_path / "long")


def test_stopped_early_and_plateaus(tiny_config: Make) -> None:
    more = {"early_stop": 1, "eval_every": 1, "schedule": ScheduleConfig(name="constant", warmup_steps=0)}
    more["optim"] = type(tiny_config().optim)(lr=0.0)
    assert train(tiny_config(**more))["step"] == 1
    with pytest.raises(ConfigError, match=r"stopped early after step 1 \(early_stop 1\), as it would have"):
        train(tiny_config(**more, max_steps=30, resume=True))
