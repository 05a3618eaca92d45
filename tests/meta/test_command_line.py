"""The command line as a person meets it: completion, --json, spelling, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SEQLOOM = str(Path(sys.executable).with_name("seqloom"))


def seqloom(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SEQLOOM, *args], env=os.environ | env, capture_output=True, text=True, timeout=120
    )  # fmt: skip


def test_shell_words_are_completed():
    words = seqloom(_SEQLOOM_COMPLETE="complete_bash", COMP_WORDS="seqloom tok", COMP_CWORD="1").stdout
    assert words.split() == ["tokenizer"]
    words = seqloom(_SEQLOOM_COMPLETE="complete_bash", COMP_WORDS="seqloom tokenizer train c", COMP_CWORD="3")
    assert words.stdout.split() == ["codon"]
    words = seqloom(_SEQLOOM_COMPLETE="complete_bash", COMP_WORDS="seqloom run qui", COMP_CWORD="2").stdout
    assert words.split() == ["quickstart"]


@pytest.mark.parametrize(
    "command",
    [["doctor"], ["tokenizer", "kinds"], ["eval", "tasks"], ["data", "sources"],
     ["train", "--dry-run", "--vocab_size", "70", "--set", "model.layers=2"], ["demo", "--dry-run"]],
)  # fmt: skip
def test_json_is_one_object_and_nothing_else(command: list[str]):
    run = seqloom(*command, "--json")
    assert run.returncode == 0, run.stderr
    assert isinstance(json.loads(run.stdout), dict)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["run", "missing.yaml"], 2, ["missing.yaml", "quickstart"]),
        (["run", "quickstart", "--set", "train.modle=x"], 2, ["train", "modle", "model"]),
        (["run", "quickstart", "--set", "training.x=1"], 2, ["training", "train"]),
        (["train", "--lr", "fast"], 2, ["lr", "fast"]),
        (["train", "--loss", "hxee"], 2, ["hxee", "hxe"]),
        (["data", "build", "nowhere.fa", "--out", "x"], 2, ["nowhere.fa"]),
        (["tokenizer", "train", "cadon", "--data", "d", "--out", "x"], 2, ["cadon", "codon"]),
        (["data", "verify", "nowhere"], 3, ["nowhere"]),
    ],
)
def test_wrong_input_gives_one_line(command: list[str], code: int, words: list[str], tmp_path: Path):
    run = subprocess.run([SEQLOOM, *command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (code, ""), run.stderr
    assert run.stderr.startswith("error: ") and run.stderr.count("\n") == 1, run.stderr
    for word in words:
        assert word in run.stderr


def test_unknown_option_exits_2():
    assert seqloom("train", "--layerz", "3").returncode == 2


def test_doctor_names_what_is_missing():
    code = (
        "import sys, importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'gudhi' else real(name, *a)\n"
        "import seqloom_cli.doctor as d\n"
        "print(d.describe(d.examine()))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "missing gudhi: pip install 'seqloom[eval]'" in run.stdout, run.stderr


def test_control_c_while_modules_load_is_one_line():
    code = (
        "import sys, builtins\n"
        "real = builtins.__import__\n"
        "def stop(name, *rest):\n"
        "    if name == 'typer': raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = stop\n"
        "from seqloom_cli.entry import main\n"
        "main()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (130, "error: interrupted\n")
