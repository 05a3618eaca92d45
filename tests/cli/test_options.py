"""Options made from dataclasses: names, layers, types, errors."""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from biodata.errors import ConfigError
from seqloom_cli import main as whole
from seqloom_cli.commands import Positional, add_command
from seqloom_cli.main import _tasks_apart, prepared
from seqloom_cli.options import leaves, merge


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    name: str = field(default="xe", metadata={"help": "which"})
    alpha: float = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    name: str = "cosine"
    alpha: float = 1.0
    steps: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    inputs: tuple[str, ...] = ()
    out: Path = Path("x")
    loss: Part = field(default_factory=Part)
    schedule: Other = field(default_factory=Other)
    mode: Literal["a", "b"] = "a"
    fast: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Lists:
    kmers: tuple[int, ...] = (1, 2)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    inputs = Positional(path="inputs", metavar="INPUT...", help="files", many=True)

    def run(config: Whole) -> dict:
        return {"inputs": list(config.inputs), "loss": config.loss.name, "alpha": config.loss.alpha,
                "steps": config.schedule.steps, "mode": config.mode, "fast": config.fast,
                "out": str(config.out)}  # fmt: skip

    add_command(app, "work", Whole, run, help="Works.", positional=(inputs,), plan=lambda c: {"plan": c.mode})
    app.command("other")(lambda: None)
    return app


def invoke(app: typer.Typer, *args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["work", *args])
    return result.exit_code, result.stdout, result.stderr


def test_groups_give_their_name_and_clashes_are_prefixed():
    options = {leaf.path: leaf.option for leaf in leaves(Whole)}
    assert options == {
        "inputs": "inputs", "out": "out", "loss.name": "loss", "loss.alpha": "loss-alpha",
        "schedule.name": "schedule", "schedule.alpha": "schedule-alpha", "schedule.steps": "steps",
        "mode": "mode", "fast": "fast",
    }  # fmt: skip


def test_every_kind_of_value_arrives(app: typer.Typer):
    code, out, _ = invoke(
        app, "a.fa", "b.fa", "--loss", "hxe", "--loss-alpha", "1e-3", "--steps", "7", "--fast", "--mode", "b",
        "--output", "here", "--json",
    )  # fmt: skip
    expected = {"inputs": ["a.fa", "b.fa"], "loss": "hxe", "alpha": 0.001, "steps": 7, "mode": "b",
                "fast": True, "out": "here"}  # fmt: skip
    assert (code, json.loads(out)) == (0, expected)


def test_layers_win_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "c.yaml"
    file.write_text("schedule:\n  steps: 10\nmode: b\nloss: {alpha: 1e-3}\n")
    monkeypatch.setenv("SEQLOOM_WORK_STEPS", "20")
    values, origin = merge(Whole, {}, config=file, settings=[], command="work")
    assert (values["schedule"]["steps"], values["mode"]) == ("20", "b")
    values, origin = merge(Whole, {}, config=file, settings=["schedule.steps=30"], command="work")
    assert values["schedule"]["steps"] == 30
    values, origin = merge(
        Whole, {"schedule.steps": "40"}, config=file, settings=["schedule.steps=30"], command="work"
    )
    assert values["schedule"]["steps"] == "40"
    assert origin == {"schedule.steps": "option", "mode": str(file), "loss.alpha": str(file)}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--set", "schedule.stepz=1"], ["stepz", "steps"]),
        (["--steps", "many"], ["steps", "many", "whole number"]),
        (["--mode", "c"], ["mode", "'c'", "a, b"]),
        (["--set", "nonsense"], ["name=value", "nonsense"]),
        (["--config", "missing.yaml"], ["missing.yaml"]),
    ],
)
def test_wrong_values_give_one_line_and_exit_2(app: typer.Typer, args: list[str], words: list[str]):
    code, out, err = invoke(app, *args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


def test_dry_run_and_print_config(app: typer.Typer):
    assert json.loads(invoke(app, "--dry-run", "--json", "--mode", "b")[1]) == {"plan": "b"}
    shown = json.loads(invoke(app, "--print-config", "--json", "--steps", "5")[1])
    assert shown["config"]["schedule"]["steps"] == 5
    assert shown["origin"] == {"schedule.steps": "option"}


def test_setting_without_a_name():
    with pytest.raises(ConfigError, match="'=3'"):
        merge(Whole, {}, config=None, settings=["=3"], command="work")


@pytest.mark.parametrize(
    ("given", "apart"),
    [
        ("eval run m --task mrfp mlos own.yaml", "eval run m --task mrfp --task mlos --task own.yaml"),
        ("eval run --task mrfp mlos m kmer", "eval run --task mrfp --task mlos m kmer"),
        ("eval run --task=mrfp mlos m", "eval run --task=mrfp --task mlos m"),
        ("eval run --task=mrfp m", "eval run --task=mrfp m"),
        ("eval run m --tasks mrfp --out mlos", "eval run m --tasks mrfp --out mlos"),
        ("eval run m --config a.yaml --task mrfp", "eval run m --config a.yaml --task mrfp"),
        ("data build --task mrfp mlos", "data build --task mrfp mlos"),
    ],
)
def test_several_tasks_may_follow_one_option(given: str, apart: str):
    assert _tasks_apart(given.split()) == apart.split()


def test_a_switch_may_have_its_value_beside_it() -> None:
    given = ["train", "--pack", "true", "--compile", "false", "--bidirectional", "false", "--log", "true"]
    kept = ["--bidirectional", "false", "--log", "true"]
    assert prepared(given) == ["train", "--pack", "--no-compile", *kept]
    assert prepared(["generate", "run", "--fresh_noise", "true"]) == ["generate", "run", "--fresh-noise"]
    assert prepared(["tokenizer", "train", "true"]) == ["tokenizer", "train", "true"]


def test_help_shows_defaults_once() -> None:
    said = " ".join(CliRunner().invoke(whole.app, ["generate", "--help"]).stdout.split())
    assert "number of sequences, 1 or more [default: 100]" in said and "(100)" not in said


def test_help_shows_options_by_their_groups() -> None:
    said = CliRunner().invoke(whole.app, ["train", "--help"]).stdout
    titles = [line for line in said.splitlines() if line.endswith(":") and not line.startswith("  ")]
    assert titles[:3] == ["Options:", "model (shape of the model):", "model.moe (experts of model moe):"]
    experts = said.index("--experts")
    assert said.index("model.moe (") < experts < said.index("model.hyena (") and said.count("--experts") == 1
    assert said.index("--max-steps") < said.index("--help") < said.index("model (")


@pytest.mark.parametrize("words", ["--kmers 1 --kmers 3,4", "--kmers 1,3 --kmers 4", "--kmers 1,3,4"])
def test_a_list_of_numbers_may_be_repeated_as_one_of_words_may(words: str) -> None:
    """The last one alone counted, and said nothing."""
    app = typer.Typer()
    add_command(app, "work", Lists, lambda config: {"kmers": config.kmers}, help="Works.")
    app.command("other")(lambda: None)
    code, out, _ = invoke(app, *words.split(), "--json")
    assert (code, json.loads(out)) == (0, {"kmers": [1, 3, 4]})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "--nope", "3"], "error: No such option: --nope"),
        (["data", "nosuch"], "error: No such command 'nosuch' (see seqloom data --help)"),
        (["nosuch"], "error: No such command 'nosuch' (see seqloom --help)"),
        (["train", "--lr"], "error: Option '--lr' requires an argument"),
        (["run"], "error: Missing argument 'recipe' (see seqloom run --help)"),
    ],
)
def test_what_there_is_not_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        whole.main(arguments)
    found = capsys.readouterr()
    assert (left.value.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(said)


def test_a_group_alone_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        whole.main(["data"])
    assert (left.value.code, "Commands:" in capsys.readouterr().err) == (2, True)


def test_help_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as left:
        patched.setattr(sys.stdout, "write", write)
        whole.main(["--help"])
    said = "error: the disk is full: free some space and run the same command again\n"
    assert (left.value.code, capsys.readouterr().err) == (1, said)
