"""The doctor: every kind of task in one line each, and exit code 1 when a model breaks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError
from bioeval.doctor import DoctorConfig, described, examine
from bioeval.protocols import KINDS
from bioeval.running.toys import UNITS, toy_tasks
from seqloom_cli.main import app


class Broken:
    """Embeds all but breaks at pairs' lengths: raises what a user's code may raise."""

    name, key = "broken", "broken"

    def embed(self, sequences: list[str]) -> np.ndarray:
        raise IndexError("list index out of range\nsecond line")


class Letters:
    """Counts letters."""

    name, key = "letters", "letters"

    def embed(self, sequences: list[str]) -> np.ndarray:
        return np.array([[s.count(c) / len(s) for c in "ACGT"] for s in sequences], dtype=np.float32)


@pytest.mark.parametrize("alphabet", UNITS)
def test_toy_tasks_of_every_kind(alphabet: str) -> None:
    tasks = toy_tasks(alphabet)
    assert [task.kind for task in tasks] == [k for k in KINDS if (alphabet, k) != ("selfies", "contacts")]
    assert [t.fingerprint for t in tasks] == [t.fingerprint for t in toy_tasks(alphabet)]
    for task in tasks:
        task.check()
        if task.kind == "token":
            assert all(len(t) >= 12 for t in task.token_values("test"))


@pytest.mark.parametrize("alphabet", ["dna", "selfies"])
def test_a_baseline_passes_every_kind_it_can(alphabet: str) -> None:
    report = examine(DoctorConfig(alphabet=alphabet))  # pyright: ignore[reportArgumentType]
    status = {check["kind"]: check["status"] for check in report["checks"]}
    assert report["ok"] and status.pop("zero-shot") == "cannot" and set(status.values()) == {"ok"}
    assert set(status) == set(KINDS) - {"zero-shot", *({"contacts"} if alphabet == "selfies" else ())}
    values = {check["kind"]: check["value"] for check in report["checks"]}
    assert values["regression"] > 0.9 and values["retrieval"] > 0.6
    assert len(described(report).splitlines()) == 1 + len(report["checks"])


def test_one_vector_a_sequence_is_enough_for_all_but_positions() -> None:
    report = examine(DoctorConfig(model=f"{__name__}:Letters"))
    status = {check["kind"]: check["status"] for check in report["checks"]}
    assert report["ok"] and [kind for kind in KINDS if status[kind] == "cannot"] == [
        "token",
        "zero-shot",
        "contacts",
    ]


def test_a_broken_model_is_told_in_lines_and_exit_code_1() -> None:
    found = CliRunner().invoke(app, ["eval", "doctor", f"{__name__}:Broken"])
    assert found.exit_code == 1
    lines = [line for line in found.stdout.splitlines() if line.startswith("failed")]
    assert "regression" in lines[0] and lines[0].endswith("IndexError: list index out of range")


def test_a_model_that_can_nothing_is_not_well() -> None:
    report = examine(DoctorConfig(probe="lora"))  # counts of k-mers have no weights
    assert {check["status"] for check in report["checks"]} == {"cannot"} and not report["ok"]


def test_a_language_model_passes_every_kind(gpt2: Path) -> None:
    report = examine(DoctorConfig(model=str(gpt2)))
    assert report["alphabet"] == "dna"  # of dna, rna, protein and selfies the one its tokenizer knows
    assert [check["status"] for check in report["checks"]] == ["ok"] * len(KINDS)


def test_json_has_one_object(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["eval", "doctor", "--json"])
    assert found.exit_code == 0 and json.loads(found.stdout)["alphabet"] == "dna"


def test_a_missing_model_and_a_wrong_alphabet_are_one_line() -> None:
    with pytest.raises(ConfigError, match="no model folder"):
        examine(DoctorConfig(model="./nowhere"))
    with pytest.raises(ConfigError, match="alphabet = 'xna', allowed: auto, dna"):
        DoctorConfig(alphabet="xna")  # pyright: ignore[reportArgumentType]
