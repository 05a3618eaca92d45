"""`seqloom run` given again: what is skipped, what is made anew, and what the line says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError, SeqloomError
from biodata.folders import locked
from seqloom_cli import stages
from seqloom_cli.main import app
from seqloom_cli.pipeline import describe_plan, run_recipe
from seqloom_cli.recipe import Places, Recipe, check_recipe, read_recipe

RECIPE = """
data: {read: {inputs: [genes.fa], take: cds, alphabet: dna, labels: property.csv}}
tokenizer: {kind: codon}
train: {max_steps: 20}
generate: {num: 4}
evaluate: {labels: [stability]}
"""
ALL = ["data", "tokenizer", "train", "generate", "evaluate", "sequences", "report"]
TASK = """name: half-life
data: {file: half_life.csv}
columns: {sequence: cds, value: half_life, split: split}
alphabet: dna
unit: codon
kind: regression
metric: spearman
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe and its files; stages that only leave their output."""
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "genes.fa").write_text(">a\nATGTAA\n")
    (tmp_path / "property.csv").write_text("id,stability\na,1\n")
    for name, place in (("_build_dataset", "dataset"), ("_train_tokenizer", "tokenizer"), ("_train", "run"),
                        ("_generate", "generated"), ("_evaluate", "evaluation"), ("_sequences", "sequences"),
                        ("_report", "report")):  # fmt: skip
        monkeypatch.setattr(stages, name, leaves(place))
    monkeypatch.setattr("seqloom_cli.pipeline.check_labels", lambda recipe, places: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leaves(place: str) -> stages.Run:
    def run(recipe: Recipe, places: Places) -> Mapping[str, Any]:
        output: Path = getattr(places, place)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("") if output.suffix else output.mkdir()
        return {}

    return run


def checked(recipe: str, out: str, *settings: str) -> tuple[Recipe, Places]:
    places = Places.under(Path(out))
    return check_recipe(read_recipe(recipe, list(settings)), places, where=recipe), places


def run(recipe: str = "mine.yaml", out: str = "out", settings: tuple[str, ...] = ()) -> list[str]:
    """The stages that were not skipped."""
    done = run_recipe(*checked(recipe, out, *settings))["stages"]
    return [name for name, stage in done.items() if stage["state"] == "done"]


def why(recipe: str = "mine.yaml", out: str = "out", settings: tuple[str, ...] = ()) -> dict[str, str]:
    """Stages that a run would make, and why."""
    plan = describe_plan(*checked(recipe, out, *settings))["stages"]
    assert all(bool(stage["why"]) == (stage["state"] == "to do") for stage in plan.values())
    return {name: stage["why"] for name, stage in plan.items() if stage["why"]}


def test_another_working_directory_makes_nothing_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == ALL and run() == []
    assert run(str(folder / "mine.yaml"), str(folder / "out")) == []
    assert run("./mine.yaml", "./out/", ("data.read.inputs=genes.fa",)) == []
    (folder / "d").mkdir()  # a name that settings begin with, too: dna, dataset
    monkeypatch.chdir(folder / "d")
    assert run("../mine.yaml", "../out", ("data.read.inputs=[../genes.fa]",)) == []
    monkeypatch.chdir(folder / "out")
    assert run("../mine.yaml", ".") == []


def test_the_recipe_in_the_folder_runs_from_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the command that the report names."""
    run("mine.yaml", "out", ("train.seed=3",))
    assert str(folder) not in (folder / "out" / "recipe.yaml").read_text()
    monkeypatch.chdir(folder / "out")
    assert run("recipe.yaml", ".") == []
    os.rename(folder, folder.with_name("moved"))
    monkeypatch.chdir(folder.with_name("moved") / "out")
    assert run("recipe.yaml", ".") == []


@pytest.mark.parametrize(
    ("setting", "anew", "words"),
    [
        (
            "train.max_steps=30",
            ["train", "generate", "evaluate", "sequences", "report"],
            "max_steps 20 -> 30",
        ),
        ("data.split.seed=1", ALL, "split.seed 0 -> 1"),
        ("generate.num=5", ["generate", "sequences", "report"], "num 4 -> 5"),
        ("evaluate.seed=1", ["evaluate", "report"], "seed 0 -> 1"),
        ("sequences.seed=1", ["sequences", "report"], "seed 0 -> 1"),
    ],
)
def test_what_changed_is_named_and_the_rest_skipped(
    folder: Path, setting: str, anew: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    reasons = why(settings=(setting,))
    assert list(reasons) == anew
    assert reasons[anew[0]] == f"anew: {words}"
    assert all(reason.startswith("anew: ") and " changed" in reason for reason in
               [reasons[name] for name in anew[1:-1]])  # fmt: skip
    capsys.readouterr()
    assert run(settings=(setting,)) == anew
    assert f"      anew: {words}\n" in capsys.readouterr().err
    assert run(settings=(setting,)) == []


def test_settings_that_leave_the_result_as_it_is_make_nothing_anew(folder: Path) -> None:
    run()
    free = ("train.threads=2", "train.checkpoint_every=7", "train.device=cpu", "data.split.threads=1")
    assert run(settings=free) == ["report"]


def test_files_are_compared_by_content(folder: Path) -> None:
    run()
    os.utime(folder / "genes.fa", (0, 0))
    assert why() == {}
    (folder / "genes.fa").write_text(">a\nATGTGA\n")
    assert why()["data"] == "anew: genes.fa is changed"
    run()
    (folder / "property.csv").write_text("id,stability\na,2\n")
    assert why()["data"] == "anew: read.labels is changed"
    run()
    (folder / "more.fa").write_text(">b\nATGTGA\n")
    reasons = why(settings=("data.read.inputs=more.fa,property.csv",))
    assert reasons["data"] == "anew: genes.fa is gone, more.fa is new, property.csv is new"
    assert reasons["tokenizer"] == "anew: data changed"


def test_the_table_of_a_task_is_compared_too(folder: Path) -> None:
    (folder / "task.yaml").write_text(TASK)
    table = folder / "half_life.csv"
    rows = [f"ATG{'GCA' * n}TAA,{n},{split}" for n, split in enumerate(["train", "val", "test"] * 4, 1)]
    table.write_text("\n".join(["cds,half_life,split", *rows]) + "\n")
    setting = ("evaluate.tasks=task.yaml",)
    run(settings=setting)
    table.write_text(table.read_text().replace(",12,", ",13,"))
    assert why(settings=setting) == {
        "evaluate": "anew: task task.yaml is changed",
        "report": "anew: evaluate changed",
    }
    table.unlink()
    with pytest.raises(ConfigError, match=r"half_life\.csv"):
        run(out="new", settings=setting)
    assert not (folder / "new" / "dataset").exists()


def test_what_was_begun_or_taken_away_is_not_called_done(folder: Path) -> None:
    assert set(why().values()) == {"not begun"}
    run()
    record = folder / "out" / ".stages" / "train.json"
    whole = record.read_text()
    record.write_text(whole.replace('"state": "done"', '"state": "started"'))
    assert why() == {"train": "begun, goes on"}
    record.write_text(whole)
    (folder / "out" / "report.html").unlink()
    assert why() == {"report": "its result is gone"}
    assert run() == ["report"]


def test_two_runs_in_one_folder(folder: Path) -> None:
    run()
    with locked(folder / "out", name=".stages"), pytest.raises(SeqloomError, match="another run is running"):
        run(settings=("data.split.seed=1",))
    assert (folder / "out" / "dataset").exists()


@pytest.mark.parametrize("out", [".", "runs/mine"])
def test_inputs_that_hold_the_folder_of_the_run(folder: Path, out: str) -> None:
    with pytest.raises(ConfigError, match="where files are to be written: give an --out elsewhere"):
        run(out=out, settings=("data.read.inputs=.",))
    assert not (folder / "recipe.yaml").exists() and not (folder / "runs").exists()


def test_the_plan_ends_with_a_line_for_each_stage(folder: Path) -> None:
    run()
    shown = CliRunner().invoke(
        app, ["run", "mine.yaml", "--out", "out", "--dry-run", "--set", "train.seed=1"]
    )
    assert shown.stdout.splitlines()[-7:-3] == [
        "data: done", "tokenizer: done", "train: to do, anew: seed 0 -> 1",
        "generate: to do, anew: train changed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: 5", ["r.yaml", "data", "5"]),
        ("data: {read: [x.fa]}", ["data", "read", "x.fa"]),
        ("data: {read: {inputs: 5}}", ["'5'", "no such file"]),
        ("data: {read: {inputs: [x.fa], exclusion: yes}}", ["data.read", "exclusion", "True"]),
        ("evaluate: {labels: 3}", ["evaluate", "labels", "3"]),
        ("evaluate: {labels: [[a]]}", ["evaluate", "labels"]),
        ("evaluate: {tasks: {a: b}}", ["evaluate", "tasks"]),
        ("evaluate: {tasks: [mrpf]}", ["mrpf", "mrfp"]),
        ("evaluate: {tasks: [none.yaml]}", ["none.yaml"]),
        ("evaluate: {probe: knn}", ["evaluate", "'probe' does nothing", "'labels' or 'tasks'"]),
        ("tokeniser: {kind: codon}", ["tokeniser", "did you mean 'tokenizer'"]),
        ("train: {data: there}", ["train", "data", "leave it out"]),
        ("sequences: {reference: there}", ["sequences", "reference", "leave it out"]),
        ("data: {read: {feature-types: [tRNA]}}", ["data", "feature_types", "does nothing"]),
        ("train: {seed: 1}\ntrain: {seed: 2}", ["r.yaml:6", "'train' is given twice"]),
        ("train: {seed: 1, seed: 2}", ["r.yaml:5", "'seed' is given twice"]),
        ("train: {init_from: nowhere}", ["init_from", "nowhere"]),
    ],
)
def test_a_recipe_of_the_wrong_shape_is_one_line(text: str, words: list[str], folder: Path) -> None:
    rest = {"data": "data: {read: {inputs: [genes.fa]}}", "tokenizer": "tokenizer: {kind: codon}",
            "generate": "generate: {num: 4}"}  # fmt: skip
    kept = [line for name, line in rest.items() if not text.startswith(f"{name}:")]
    kept += [""] * (4 - len(kept))
    (folder / "r.yaml").write_text("\n".join([*kept, text]) + "\n")
    shown = CliRunner().invoke(app, ["run", "r.yaml", "--out", "o"])
    assert shown.exit_code == 2 and shown.stderr.startswith("error: "), shown.stderr
    assert shown.stderr.count("\n") == 1 and all(word in shown.stderr for word in words), shown.stderr
    assert not (folder / "o").exists()


def test_labels_may_be_one_name(folder: Path) -> None:
    recipe, _ = checked("mine.yaml", "out", "evaluate.labels=stability")
    assert recipe.labels == ("stability",)
