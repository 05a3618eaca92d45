"""Models by their id on the Hugging Face hub, from its cache, without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from biodata.errors import ConfigError, DataError
from bioeval.backends import EmbedSettings, open_model, open_scorer
from bioeval.evaluate import EvalConfig, evaluate

ID = "someone/tiny"


@pytest.fixture
def hub(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of `ID` in a cache of its own."""
    folder = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(gpt2 / "model", folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder / "snapshots" / "abc"


def test_an_id_is_the_folder_that_was_downloaded(hub: Path, gpt2: Path) -> None:
    settings, sequences = EmbedSettings(device="cpu"), ["ACGACG", "TTTACG"]
    for before in ("", "random-init:"):
        named, local = (open_model(before + name, settings) for name in (ID, str(gpt2)))
        assert named.key == local.key and named.name == before + ID
        assert np.array_equal(named.embed(sequences), local.embed(sequences))


def test_an_id_that_is_not_there_is_one_line(hub: Path) -> None:
    for name in ("no/such", "random-init:no/such"):
        with pytest.raises(ConfigError, match="'no/such' is no folder here and cannot be got from the Hugg"):
            open_model(name)


def test_zero_shot_has_the_twin_of_an_id(hub: Path, tmp_path: Path) -> None:
    rows = [f"ACG{c}GTTTT,{i}" for i, c in enumerate(("A", "C", "T", "G", "AAA", "CCC"))]
    (tmp_path / "rows.csv").write_text("\n".join(["sequence,value", *rows]) + "\n")
    task = tmp_path / "zero.yaml"
    task.write_text(
        "name: zero\ntitle: a test\ndata: {file: rows.csv}\ncolumns: {sequence: sequence, value: value}\n"
        "alphabet: dna\nunit: codon\nkind: zero-shot\n"
    )
    config = EvalConfig(models=(ID,), tasks=(str(task),), out=tmp_path / "out", resamples=100, device="cpu")
    (result,) = evaluate(config)["results"]
    assert list(result["baselines"]) == [f"random-init:{ID}"] and result["model"] == ID
    assert open_scorer(f"random-init:{ID}").score(["ACG"]).total[0] < 0


def test_weights_of_the_older_form_are_fetched_where_there_are_no_others(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        if "pytorch_model*.bin" in allow_patterns:
            (hub / "pytorch_model.bin").write_bytes(b"weights")
        return str(hub)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    key = open_model(ID, EmbedSettings(device="cpu")).key
    assert len(asked) == 1 and "pytorch_model*.bin" not in asked[0]
    (hub / "model.safetensors").unlink()
    assert open_model(ID, EmbedSettings(device="cpu")).key != key and len(asked) == 3
    (hub / "pytorch_model.bin").unlink()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(hub))
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        open_model(ID)
