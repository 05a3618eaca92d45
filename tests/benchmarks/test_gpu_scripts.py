"""The GPU scripts, rehearsed on the CPU: nothing else runs them where no GPU is."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = {
    "gpu_train": ["--rows", "2", "--context", "8", "--steps", "1", "--only", "moe-small-8m"],
    "gpu_long": ["--tokens", "16", "--lengths", "16", "--compared", "12"],
    "gpu_mamba": ["--repeats", "1", "--width", "64", "--length", "16", "--batch", "1"],
    "gpu_varlen": ["--rows", "2", "--context", "32", "--mean", "8", "--rounds", "1"],
}


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    path = SCRIPTS / f"{name}.py"
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


def test_none_is_left_out() -> None:
    scripts = {path.stem for path in SCRIPTS.glob("gpu_*.py")}
    assert scripts == {*SMALL, "gpu_device"}


@pytest.mark.parametrize("name", SMALL)
def test_a_rehearsal_gives_every_figure(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(monkeypatch, name, "--rehearse", "--json", str(tmp_path / "found.json"), *SMALL[name])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["device"] == "rehearsal on the CPU"
    times = [value for key, value in _leaves(found) if key in ("tokens_per_s", "plain_ms")]
    assert times and all(value > 0 for value in times)
    errors = [value for key, value in _leaves(found) if key in ("error", "logits", "gradients")]
    assert all(value < 0.03 for value in errors)


def _leaves(found: dict[str, Any]) -> list[tuple[str, Any]]:
    pairs = []
    for key, value in found.items():
        pairs += _leaves(value) if isinstance(value, dict) else [(key, value)]
    return pairs


@pytest.mark.parametrize("name", SMALL)
def test_without_a_gpu_they_say_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run(monkeypatch, name)
    assert capsys.readouterr().out == "not run: no CUDA device\n"
