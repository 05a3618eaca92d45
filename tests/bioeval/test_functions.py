"""A function of sequences as a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biodata.errors import ConfigError, DataError
from bioeval.backends import open_model
from bioeval.evaluate import EvalConfig, evaluate
from bioeval.records.embedding import EmbedConfig, embed_file
from bioeval.records.inputs import InputConfig

asked: list[str] = []


def third_gc(sequences: Sequence[str]) -> list[list[float]]:
    """The planted property."""
    asked.extend(sequences)
    return [[sum(c in "GC" for c in s[2::3]) / len(s[2::3]), len(s)] for s in sequences]


def flat(sequences: Sequence[str]) -> int:
    """No vectors."""
    return len(sequences)


def gaps(sequences: Sequence[str]) -> np.ndarray:
    """No numbers."""
    return np.full((len(sequences), 2), np.nan)


def evaluated(task: Path, out: Path, name: str) -> dict[str, Any]:
    config = EvalConfig(models=(f"{__name__}:{name}",), tasks=(str(task),), out=out, resamples=100, repeats=5)
    return evaluate(config)["results"][0]


def test_a_function_is_a_model_that_is_asked_anew(planted_task: Path, tmp_path: Path) -> None:
    asked.clear()
    first = evaluated(planted_task, tmp_path / "e", "third_gc")
    assert first["value"] > 0.9 and first["lo"] <= first["value"] <= first["hi"]
    assert set(first["baselines"]) == {"codon-freq", "kmer", "one-hot"} and first["repeated"]
    assert len(asked) == len(set(asked)) == 150
    again = evaluated(planted_task, tmp_path / "e", "third_gc")
    assert len(asked) == 300 and again["value"] == first["value"]
    assert not list((tmp_path / "cache").glob("**/*.parquet"))


def test_a_function_writes_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.fasta").write_text(">a\nACGACC\n>b\nACTACC\n")
    out = tmp_path / "a.parquet"
    read = InputConfig(inputs=(str(tmp_path / "a.fasta"),))
    model = f"{__name__}:third_gc"
    said = embed_file(EmbedConfig(model=model, read=read, out=out))
    assert said["pooling"] == "its own" and "long_sequences" not in said
    for change in ({"pooling": "max"}, {"layer": "1"}):
        with pytest.raises(ConfigError, match=f"does nothing for {model}: it has its own"):
            embed_file(EmbedConfig(model=model, read=read, out=out, **change))  # pyright: ignore
    assert open_model(str(out)).embed(["ACTACC", "ACGACC"]).tolist() == [[0.5, 6], [1, 6]]


@pytest.mark.parametrize(("name", "text"), [("flat", r"shape \[\]"), ("gaps", "no finite numbers")])
def test_what_is_no_matrix_of_numbers_is_one_line(
    name: str, text: str, planted_task: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=text):
        evaluated(planted_task, tmp_path / "e", name)


def test_what_is_neither_says_what_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"needs name, key and embed\(sequences\), or to be a function"):
        open_model(f"{__name__}:asked")
