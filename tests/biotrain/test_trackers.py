"""biotrain.trackers: the same lines in TensorBoard and W&B, and a word where a package is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from biodata.errors import ConfigError, MissingExtraError
from biotrain.config import TrainConfig
from biotrain.loop import train
from biotrain.trackers import check_installed, named, open_tracker

Make = Callable[..., TrainConfig]


class Wandb(ModuleType):
    """Remembers what it was told, in the place of the package, whose signatures (0.31) it has."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.begun: list[dict[str, Any]] = []
        self.lines: list[tuple[int, dict[str, Any]]] = []
        self.finished = 0

    def init(
        self,
        entity: str | None = None,
        project: str | None = None,
        dir: str | None = None,
        id: str | None = None,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        resume: bool | Literal["allow", "never", "must", "auto"] | None = None,
    ) -> Wandb:
        self.begun.append({"config": config, "id": id, "resume": resume, "dir": dir, "name": name})
        return self

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        assert step is not None and commit is None
        self.lines.append((step, data))

    def finish(self, exit_code: int | None = None) -> None:
        self.finished += 1


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "training_log.jsonl").read_text().splitlines()]


def test_wandb_has_the_lines_of_the_log(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    config = tiny_config(log=("wandb",), max_steps=6)
    train(config)
    out = config.paths().out
    assert wandb.lines == [(line["step"], named(line)) for line in lines(out)]
    assert all(isinstance(value, (int, float)) for _, values in wandb.lines for value in values.values())
    assert wandb.begun[0]["dir"] == str(out) and wandb.begun[0]["name"] == out.name
    assert wandb.finished == 1 and wandb.begun[0]["config"]["max_steps"] == 6
    open_tracker("wandb", out, step=3, settings={})
    assert wandb.begun[1]["id"] == wandb.begun[0]["id"] and wandb.begun[1]["resume"] == "allow"


def test_tensorboard_reads_the_lines_of_the_log(tiny_config: Make) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny_config(log=("tensorboard",), max_steps=6)
    train(config)
    out = config.paths().out
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    for name, kind in (("loss", "train"), ("val_loss", "validation"), ("memory_bytes", "train")):
        expected = {line["step"]: line[name] for line in lines(out) if name in line}
        found = {event.step: event.value for event in events.Scalars(f"{kind}/{name}")}
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, tiny_config: Make) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"needs 'wandb'.*: pip install 'seqloom\[wandb\]'"):
        check_installed(["wandb"])
    with pytest.raises(MissingExtraError):
        train(tiny_config(log=("wandb",)))
    assert not tiny_config().paths().out.exists()
    with pytest.raises(ConfigError, match="unknown log 'tensorbord', did you mean 'tensorboard'"):
        TrainConfig(log=("tensorbord",))
