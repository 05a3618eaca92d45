"""A run that begins with the weights of another."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from biodata.errors import ConfigError, DataError
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biotrain.config import TrainConfig
from biotrain.estimate import dry_run
from biotrain.export import load_model
from biotrain.loop import train
from biotrain.models import ModelConfig, build_model
from biotrain.objectives import ObjectiveConfig
from biotrain.start import start_from
from tests.biotrain.conftest import TINY
from tests.biotrain.test_resume import Killed, die_at

Make = Callable[..., TrainConfig]


@pytest.fixture
def first(tiny_config: Make, tmp_path: Path) -> Path:
    train(tiny_config(out=tmp_path / "first", max_steps=6))
    return tmp_path / "first"


def test_it_begins_where_the_other_ended(
    tiny_config: Make, tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rate of 0 nothing moves, so that the weights are the other's; the folder says where they are
    from, and a killed run needs that no more."""
    still = type(tiny_config().optim)(lr=0.0)
    config = tiny_config(init_from=first, optim=still, model=dataclasses.replace(TINY, dropout=0.1))
    assert dry_run(config)["steps"] == 12
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(7, patch)
        train(config)
    with pytest.raises(ConfigError, match=r"another configuration \(init_from .*first' -> None\)"):
        train(dataclasses.replace(config, init_from=None, resume=True))
    moved = first.rename(tmp_path / "moved")
    train(dataclasses.replace(config, resume=True))
    ours, theirs = (load_model(folder).state_dict() for folder in (tmp_path / "run", moved))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    made = json.loads((tmp_path / "run" / "model" / "biotrain.json").read_text())
    assert made["start"]["step"] == 6 and made["start"]["exclusion"] == {"enabled": False}
    assert set(made["inputs"]) == {"dataset", "tokenizer", "start model"}
    train(dataclasses.replace(config, init_from=moved))  # ended: the same run by content
    shutil.copy(tmp_path / "run" / "config.yaml", moved / "model" / "model.safetensors")
    with pytest.raises(ConfigError, match="run was trained on another start model"):
        train(dataclasses.replace(config, init_from=moved))


def test_what_does_not_fit(tiny_config: Make, tmp_path: Path, first: Path, tiny_data: Path) -> None:
    def refused(message: str, **changes: object) -> None:
        for go in (train, dry_run):
            with pytest.raises((ConfigError, DataError), match=message):
                go(tiny_config(init_from=first, **changes))

    wide = dataclasses.replace(TINY, layers=3, bidirectional=True)
    shown = (
        r"another model: model\.bidirectional False \(here True\), model\.layers 2 \(here 3\): give the same"
    )
    refused(shown, model=wide, objective=ObjectiveConfig(name="mlm"))
    train_tokenizer(TokenizerConfig(kind="nuc", data=tiny_data, out=tmp_path / "nuc"))
    refused(
        r"another tokenizer \(70 tokens, here 11\): give --tokenizer \S+/model$", tokenizer=tmp_path / "nuc"
    )
    longer = tiny_config(init_from=first, model=dataclasses.replace(TINY, context=64), context=64)
    with pytest.raises(
        ConfigError, match=r"positions\.weight has shape \[32, 32\], here \[64, 32\]: give --context 32"
    ):
        train(longer)
    shutil.rmtree(first / "model")
    refused("no exported model there")


def test_mup_computes_with_usual_weights(tiny_config: Make, first: Path, tiny_tokenizer: Path) -> None:
    from biodata.tokenizers import load_tokenizer

    tokens = load_tokenizer(tiny_tokenizer).tokens
    shape = ModelConfig(layers=2, width=32, heads=2, context=32, mup_base_width=16)
    model, usual = build_model(shape, vocab_size=len(tokens)), load_model(first)
    start_from(model, first, tokens=tokens)
    ids = torch.arange(8).reshape(1, 8) + 8
    torch.testing.assert_close(model.eval()(ids), usual(ids), rtol=1e-4, atol=1e-5)
