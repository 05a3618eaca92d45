"""Rewards by name, with a target, of one's own; and the command that uses them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biodata.errors import ConfigError, DataError
from biodata.io.fasta import write_fasta
from bioeval.metrics.kmer import KmerDivergence
from bioeval.metrics.sequence_set import SequenceSet
from seqloom_cli.rewards import reward_of

TEXTS = ["GGCC", "ATAT", "GCATGC", "ATGGCCTAA"]


def test_properties_and_targets() -> None:
    assert reward_of("gc", reference=None, seed=0)(TEXTS).tolist() == pytest.approx([1, 0, 4 / 6, 4 / 9])
    assert reward_of("gc=0.5", reference=None, seed=0)(TEXTS).tolist() == pytest.approx(
        [-0.5, -0.5, -1 / 6, -1 / 18]
    )
    assert reward_of("length=6", reference=None, seed=0)(TEXTS).tolist() == [-2, -2, 0, -3]
    assert reward_of("gc_mean", reference=None, seed=0)(TEXTS).tolist() == pytest.approx(
        [100, 0, 400 / 6, 400 / 9]
    )
    undefined = reward_of("gc", reference=None, seed=0)(["NN", "GA", "GG"])
    assert undefined.tolist() == [0.5, 0.5, 1.0]  # no letters that count: the worst of its batch


def test_a_distance_counts_downwards(tmp_path: Path) -> None:
    write_fasta(tmp_path / "natural.fasta", ["a", "b"], ["GGCCGGCC", "GCGCGGCC"])
    found = reward_of("kmer_jsd_k2", reference=tmp_path / "natural.fasta", seed=0)(TEXTS)
    metric = KmerDivergence(k=2)
    natural = metric.features(SequenceSet.from_strings(["GGCCGGCC", "GCGCGGCC"]))
    at = [m.name for m in metric.measures].index("kmer_jsd_k2")
    for text, value in zip(TEXTS, found):
        alone = metric.features(SequenceSet.from_strings([text]))
        expected = metric.compare(alone, natural, rows=np.ones((1, 1), bool), others=np.ones((1, 2), bool))[
            0, at
        ]
        assert value == pytest.approx(-expected)
    assert found.argmax() == 0


def test_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_reward.py").write_text(
        "def longest(texts):\n    return [len(t) for t in texts]\n\nvalue = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    assert list(reward_of("my_reward:longest", reference=None, seed=0)(TEXTS)) == [4, 4, 6, 9]
    for text, message in (
        ("my_reward:value", "is no function"),
        ("my_reward:lost", "has no attribute"),
        ("no_such_module:f", "No module named"),
    ):
        with pytest.raises(ConfigError, match=message):
            reward_of(text, reference=None, seed=0)


def test_refusals() -> None:
    for text, message in (
        ("gcc", r"unknown reward 'gcc' \(known: gc, length, gc_mean"),
        ("gc=half", "'half' is no number"),
        ("kmer_jsd_k3", "give --reference FILE"),
    ):
        with pytest.raises(ConfigError, match=message):
            reward_of(text, reference=None, seed=0)
    for text in ("gc=0.5", "orf_valid", "module:function"):
        with pytest.raises(ConfigError, match=r"is no distance: it does not read --reference x\.fasta"):
            reward_of(text, reference=Path("x.fasta"), seed=0)
    with pytest.raises(DataError, match="defined for none"):
        reward_of("gc", reference=None, seed=0)(["N"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from biodata.tokenizers import TokenizerConfig, train_tokenizer
    from biotrain.export import export_model
    from biotrain.models import ModelConfig, build_model
    from seqloom_cli.main import main

    write_fasta(tmp_path / "data.fasta", ["a"], ["ACGT"])
    train_tokenizer(TokenizerConfig(kind="nuc", data=tmp_path / "data.fasta", out=tmp_path / "tokenizer"))
    model = build_model(ModelConfig(layers=1, width=16, heads=2, context=10), vocab_size=11)
    export_model(model, tmp_path / "tokenizer", tmp_path / "run" / "model")
    options = "--reward gc=0.5 --max-steps 2 --groups 1 --group-size 4 --threads 1 --device cpu --json"
    command = ["finetune", str(tmp_path / "run"), "--out", str(tmp_path / "new"), *options.split()]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["step"] == 2 and told["sequences"] == 8 and told["run"] == str(tmp_path / "new")
    assert -0.5 <= told["reward"] <= 0 and (tmp_path / "new" / "model" / "model.safetensors").is_file()
