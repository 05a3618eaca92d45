"""biotrain.log: the file, the sums, the bar."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch

from biodata.errors import DataError
from biotrain.log import Meter, NonFiniteError, RunLog, StepResult, perplexity, training_bar


def result(loss: float, *, targets: int = 1, norm: float = 1.0) -> StepResult:
    numbers = (torch.tensor(loss), torch.tensor(loss / 2), torch.tensor(norm))
    return StepResult(*numbers, targets=targets, tokens=10)


def test_lines_after_a_checkpoint_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path, size=0) as log:
        log.write({"step": 1})
        size = log.sync()
        log.write({"step": 2})
    with RunLog(path, size=size) as log:
        log.write({"step": 2, "again": True})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2, "again": True},
    ]
    with pytest.raises(DataError, match="shorter than the 1000 bytes"):
        RunLog(path, size=1000)


def test_the_mean_is_over_targets_not_steps() -> None:
    meter = Meter({})
    meter.add(1, result(2.0, targets=1))
    meter.add(2, result(5.0, targets=3))
    meter.settle()
    sums = meter.take()
    assert sums["loss"] / sums["targets"] == 17 / 4 and sums["xe"] == 17 / 2 and sums["tokens"] == 20
    assert meter.take()["targets"] == 0


def test_when_it_is_looked_at_changes_nothing() -> None:
    losses = [0.1, 0.7, 1e-3, 12.0, 0.3]
    at_once, one_by_one = Meter({}), Meter({})
    for step, loss in enumerate(losses):
        for meter in (at_once, one_by_one):
            meter.add(step, result(loss, targets=3))
        one_by_one.settle()
        one_by_one = Meter(json.loads(json.dumps(one_by_one.sums)))  # and through a checkpoint
    at_once.settle()
    assert at_once.sums == one_by_one.sums


@pytest.mark.parametrize(("loss", "norm"), [(float("nan"), 1.0), (1.0, float("inf"))])
def test_the_first_bad_step_is_named(loss: float, norm: float) -> None:
    meter = Meter({})
    meter.add(6, result(1.0))
    meter.add(7, result(loss, norm=norm))
    meter.add(8, result(float("nan")))
    with pytest.raises(NonFiniteError, match="at step 7"):
        meter.settle()


def test_perplexity_is_always_a_number() -> None:
    assert perplexity(1.0) == pytest.approx(2.718281828) and perplexity(1e9) == sys.float_info.max


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_loss_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with training_bar("training", total=10, done=2) as advance:
        advance(3, None, 0.0)
        advance(4, 1.25, 12345.6)
    shown = terminal.getvalue()
    assert "4/10" in shown and "loss 1.2500" in shown and "12,346 tokens/s" in shown and ":" in shown


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar("training", total=10, done=0) as advance:
        advance(1, 1.0, 1.0)
    assert capsys.readouterr() == ("", "")
