"""Results go into a new or empty folder, or into that of an earlier run of the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from biodata.errors import ConfigError
from bioeval.distances.study import DistancesConfig, evaluate_distances
from bioeval.evaluate import EvalConfig, evaluate
from bioeval.folders import check_out
from bioeval.sequences.evaluation import SequencesConfig, evaluate_sequences

RUN = {"command": "eval run", "key": "results", "parts": ("predictions", "left_out", ".eval")}
COMMANDS: dict[str, Callable[[Path], object]] = {
    "eval run": lambda out: evaluate(EvalConfig(models=("kmer",), tasks=("no-such-task",), out=out)),
    "eval sequences": lambda out: evaluate_sequences(
        SequencesConfig(generated=Path("no.fa"), reference=Path("no.fa"), out=out)
    ),
    "eval distances": lambda out: evaluate_distances(DistancesConfig(groups=("a=no.fa", "b=no.fa"), out=out)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_other_files_is_refused_before_anything_is_read(command: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    message = rf"--out .* is not empty \('thesis.tex' is there\) and no earlier {command}: give a new or"
    with pytest.raises(ConfigError, match=message):
        COMMANDS[command](tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match=r"thesis\.tex cannot be a folder, a file is in the way"):
        COMMANDS[command](tmp_path / "thesis.tex")


@pytest.mark.parametrize("command", COMMANDS)
def test_results_of_another_command_are_not_overwritten(command: str, tmp_path: Path) -> None:
    others = {"eval run": "metrics", "eval sequences": "pairs", "eval distances": "results"}
    text = json.dumps({others[command]: []})
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"holds a results.json that is not of `seqloom {command}`"):
        COMMANDS[command](tmp_path)
    assert (tmp_path / "results.json").read_text() == text


@pytest.mark.parametrize("left", ["results.json", "predictions", "left_out", ".eval"])
def test_a_folder_of_an_earlier_run_goes_on(left: str, tmp_path: Path) -> None:
    """Whatever a killed run came to write first; what the user put beside it stays."""
    (tmp_path / "my notes.txt").write_text("")
    if left == "results.json":
        (tmp_path / left).write_text('{"results": []}')
    else:
        (tmp_path / left).mkdir()
    check_out(tmp_path, **RUN)


def test_new_empty_and_hidden_are_fine(tmp_path: Path) -> None:
    check_out(tmp_path / "new", **RUN)
    check_out(tmp_path, **RUN)
    (tmp_path / ".DS_Store").write_text("")
    check_out(tmp_path, **RUN)
