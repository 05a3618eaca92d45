"""What the data's manifest says of the exclusion reaches every checkpoint, the model and the summary."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from biodata.curate.exclusion import exclusion_entry
from biodata.curate.exclusion_policy import ExclusionPolicy
from biodata.files import read_json, write_json
from biotrain.config import TrainConfig
from biotrain.loop import train

Make = Callable[..., TrainConfig]


def test_the_exclusion_is_in_every_checkpoint(tiny_config: Make, tiny_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "excluded"
    shutil.copytree(tiny_data, data)
    entry = exclusion_entry(ExclusionPolicy(exclude=True), {"excluded-virus": 7, "too-short": 2}, "ab" * 32)
    write_json(data / "manifest.json", {**read_json(data / "manifest.json"), "exclusion": entry})
    config = tiny_config(data=data, max_steps=4, checkpoint_every=2, keep_checkpoints=0)
    train(config)
    out = config.paths().out
    states = sorted((out / "checkpoints").glob("step-*/state.json"))
    assert len(states) == 2
    found = [read_json(path)["state"]["provenance"]["exclusion"] for path in states]
    found += [
        read_json(out / "model" / "biotrain.json")["exclusion"],
        read_json(out / "summary.json")["exclusion"],
    ]
    assert found == [entry] * 4
    assert entry["excluded"] == {"excluded-virus": 7} and entry["rule_version"]
    assert entry["rule_version"] in (out / "model" / "README.md").read_text()


def test_data_without_exclusion_is_said(tiny_config: Make, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_config(max_steps=1)
    train(config)
    assert "without the biosafety exclusion" in capsys.readouterr().err
    assert read_json(config.paths().out / "summary.json")["exclusion"] == {"enabled": False}
