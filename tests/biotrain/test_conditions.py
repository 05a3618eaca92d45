"""Generation on a condition: what the model is given, what it may say, what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from biodata.errors import ConfigError
from biodata.io.fasta import read_fasta, write_fasta
from biodata.tokenizers import TokenizerConfig, load_tokenizer, train_tokenizer
from biodata.tokenizers.joint import train_joint
from biodata.tokenizers.special import EOS, MASK, SEP
from biotrain.conditions import condition_of
from biotrain.export import export_model, load_model
from biotrain.generate import GenerateConfig, generate
from biotrain.models import ModelConfig, build_model


def run_of(root: Path, tokenizer: Path, *, objective: str | None) -> Path:
    """An untrained model with loud logits, so that sequences differ."""
    size = load_tokenizer(tokenizer).vocab_size
    model = build_model(ModelConfig(layers=1, width=16, heads=2, context=48, init_std=0.3), vocab_size=size)
    metadata = {"objective": objective} if objective else None
    return export_model(model, tokenizer, root / str(objective) / "model", metadata=metadata).parent


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("letters")
    write_fasta(root / "data.fasta", ["a"], ["ACGT"])
    train_tokenizer(TokenizerConfig(kind="nuc", data=root / "data.fasta", out=root / "tokenizer"))
    return root / "tokenizer"


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("joint") / "tokenizer"
    train_joint(["a kinase"] * 4, vocab_size=400).save(root)
    return root


def written(run: Path, out: Path, **settings: Any) -> list[str]:
    generate(GenerateConfig(run=run, out=out, num=12, seed=1, **settings))
    return [row["sequence"] for batch in read_fasta(out) for row in batch.to_pylist()]


def test_a_gap_is_filled(letters: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, letters, objective="fim")
    tokenizer = load_tokenizer(letters)
    config = GenerateConfig(
        run=run, out=tmp_path / "x.fasta", prompt="ACG", suffix="TT", temperature=0, num=1
    )
    condition = condition_of(config, tokenizer, run / "model" / "biotrain.json")
    assert condition.ids == [6, 7, 8, MASK, 9, 9, SEP]
    found = written(run, tmp_path / "many.fasta", prompt="ACG", suffix="TT", max_length=16)
    assert all(text.startswith("ACG") and text.endswith("TT") for text in found) and len(set(found)) > 3
    (likeliest,) = written_one(config)
    model, ids = load_model(run), [1, *condition.ids]
    while ids[-1] != EOS and len(ids) < 48:
        logits = model(torch.tensor([ids]))[0, -1]
        logits[[0, 1, 3, 4, 5]] = -torch.inf
        ids.append(int(logits.argmax()))
    assert likeliest == "ACG" + tokenizer.decode(ids[8:]) + "TT"


def written_one(config: GenerateConfig) -> list[str]:
    generate(config)
    return [row["sequence"] for batch in read_fasta(config.out) for row in batch.to_pylist()]


def test_a_description_gives_letters_only(joint: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, joint, objective="text_to_sequence")
    for prompt, letters_allowed, start in (("", "ACGTN", ""), ("AC", "ACGTN", "AC"),
                                           ("<protein>M", "ACDEFGHIKLMNPQRSTVWYUOBZJX*", "M")):  # fmt: skip
        found = written(run, tmp_path / "x.fasta", text="A kinase", prompt=prompt, max_length=40)
        assert all(text.startswith(start) and set(text) <= set(letters_allowed) for text in found)
        assert min(map(len, found)) >= 1 and len(set(found)) > 1


def test_without_a_text_a_sequence_is_drawn(joint: Path, tmp_path: Path) -> None:
    """Of a model that reads texts and sequences, but did not learn one from the other."""
    run = run_of(tmp_path, joint, objective="clm")
    for prompt, start in (("", ""), ("ACG", "ACG")):
        found = written(run, tmp_path / "x.fasta", prompt=prompt, max_length=40)
        assert all(text.startswith(start) and set(text) <= set("ACGTN") for text in found)
        assert len(set(found)) > 1


def test_refusals(letters: Path, joint: Path, tmp_path: Path) -> None:
    fim, clm = (run_of(tmp_path, letters, objective=objective) for objective in ("fim", "clm"))
    words = run_of(tmp_path, joint, objective=None)
    pairs = run_of(tmp_path, joint, objective="text_to_sequence")
    for run, settings, message in (
        (clm, {"suffix": "A"}, "suffix is for models of objective 'fim', .* learnt by 'clm'"),
        (fim, {"text": "a"}, "text is for models of objective 'text_to_sequence', .* learnt by 'fim'"),
        (fim, {"suffix": "A-"}, "suffix 'A-' is not made of whole tokens of tokenizer 'nuc'"),
        (pairs, {}, "learnt from descriptions: give generate text"),
        (words, {"text": "a", "suffix": "A"}, "text does not go with suffix"),
        (fim, {"suffix": "A" * 60}, "leaves none of the 47 allowed"),
    ):
        with pytest.raises(ConfigError, match=message):
            written(run, tmp_path / "x.fasta", **settings)
