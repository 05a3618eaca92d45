"""The whole way: what it leaves, that it finds the planted truth, skips what is done, survives kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, InterruptedRunError, MissingExtraError
from seqloom_cli import pipeline, stages
from seqloom_cli.recipe import Places, check_recipe, read_recipe, recipe_names

from .walk import command, run_whole_way

STAGES = ("simulate", "data", "tokenizer", "train", "generate", "evaluate", "sequences", "report")
COMPARED = ("dataset/data", "dataset/manifest.json", "tokenizer", "run/model", "generated")


def contents(out: Path) -> dict[str, bytes]:
    """Everything that must be the same after a disturbed run, by relative path."""
    files = [
        f for name in COMPARED for f in ([out / name] if (out / name).is_file() else (out / name).rglob("*"))
    ]
    return {str(f.relative_to(out)): f.read_bytes() for f in files if f.is_file()}


def test_every_artefact_of_the_contract_is_there(whole_way: Path):
    names = [
        *("dataset/README.md", "dataset/manifest.json", "tokenizer/tokenizer.json"),
        *("run/config.yaml", "run/training_log.jsonl", "run/summary.json", "run/model/model.safetensors"),
        *("generated/generated.fasta", "evaluation/results.json", "sequences/results.json", "report.html"),
    ]
    assert [name for name in names if not (whole_way / name).is_file()] == []


def test_planted_defects_and_families_are_found(whole_way: Path):
    truth = json.loads((whole_way / "archive" / "truth.json").read_text())
    dropped = pq.read_table(whole_way / "dataset" / "removed" / "dropped.parquet").to_pylist()
    found = {row["id"]: row["reason"] for row in dropped if row["id"].startswith("DEFECT")}
    for kind in ("inner-stop", "partial-codon", "duplicate"):
        assert sum(name.split("_")[1] == kind for name in found) == truth["planted"][kind], kind
    assert sum(row["reason"] == "pseudo" for row in dropped) == truth["planted"]["pseudo"]
    rows = [r for s in ("train", "validation", "test") for r in _rows(whole_way, s)]
    family_of = {r["id"]: truth["families"][r["id"]] for r in rows if r["id"] in truth["families"]}
    splits: dict[int, set[str]] = {}
    clusters: dict[int, set[int]] = {}
    for row in rows:
        if row["id"] in family_of:
            splits.setdefault(family_of[row["id"]], set()).add(row["split"])
            clusters.setdefault(row["cluster"], set()).add(family_of[row["id"]])
    assert all(len(found) == 1 for found in splits.values()), "a family lies in two splits"
    assert all(len(found) == 1 for found in clusters.values()), "a cluster joins two families"


def test_audit_of_the_run_is_clean(whole_way: Path):
    manifest = json.loads((whole_way / "dataset" / "manifest.json").read_text())
    audit = manifest["audit"]
    assert audit["leaking_rows"] == audit["leaking_pairs"] == 0
    assert audit["exact"]["complete"] and audit["exact"]["queries"] > 0
    # families are unrelated, so nothing is found even well below the threshold
    assert audit["max_identity"] is None and audit["searched_from_identity"] < audit["identity"]


def test_results_stand_beside_their_baselines(whole_way: Path):
    results = json.loads((whole_way / "evaluation" / "results.json").read_text())["results"]
    assert [r["task"] for r in results] == ["stability"]
    for result in results:
        assert result["lo"] <= result["value"] <= result["hi"]
        names = " ".join(result["baselines"])
        assert all(word in names for word in ("codon-freq", "one-hot", "random-init"))


def test_a_second_call_skips_every_stage(whole_way: Path):
    before = (whole_way / "report.html").stat().st_mtime_ns
    result = run_whole_way(whole_way)
    assert {name: s["state"] for name, s in result["stages"].items()} == dict.fromkeys(STAGES, "skipped")
    assert (whole_way / "report.html").stat().st_mtime_ns == before


@pytest.mark.slow
def test_killed_at_random_moments_it_still_ends_the_same(whole_way: Path, tmp_path: Path):
    out, luck = tmp_path / "out", random.Random(0)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    for _ in range(4):
        process = subprocess.Popen(
            command(out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
        time.sleep(luck.uniform(2, 12))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run_whole_way(out)
    assert contents(out) == contents(whole_way)


def test_own_files_take_the_place_of_the_simulated_ones(tmp_path: Path):
    values = read_recipe("quickstart", [f"data.read.inputs={tmp_path}/my.fasta"])
    recipe = check_recipe(values, Places.under(tmp_path / "out"), where="quickstart")
    assert recipe.simulate is None and recipe.evaluate is None
    assert recipe.data.read.inputs == (f"{tmp_path}/my.fasta",)


def test_paths_in_a_recipe_are_relative_to_it(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    recipe = tmp_path / "deep" / "mine.yaml"
    recipe.write_text("data: {read: {inputs: [a.fa, ../b.fa], labels: y.csv}}\n")
    read = read_recipe(str(recipe), [])["data"]["read"]
    assert read == {"inputs": [f"{tmp_path}/deep/a.fa", f"{tmp_path}/b.fa"],
                    "labels": f"{tmp_path}/deep/y.csv"}  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.optim.lr=-1", ["train", "lr", "-1"]),
        ("data.split.identity=90", ["data", "identity", "90"]),
        ("tokenizer.kind=codons", ["codons", "codon"]),
        ("generate.temperature=-2", ["generate", "temperature"]),
        ("train.objective=text_to_sequence", ["generate", "give 'text'"]),
        ("nonsense.a=1", ["nonsense"]),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(setting: str, words: list[str], tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        check_recipe(read_recipe("quickstart", [setting]), Places.under(tmp_path / "o"), where="quickstart")
    assert all(word in str(error.value) for word in words)
    assert not (tmp_path / "o").exists()


def _rows(out: Path, split: str) -> list[dict]:
    files = sorted((out / "dataset" / "data").glob(f"{split}-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_a_missing_extra_is_said_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pipeline, "_NEEDED", ("scipy", "no_such_library"))
    places = Places.under(tmp_path / "out")
    checked = check_recipe(read_recipe("quickstart", []), places, where="quickstart")
    with pytest.raises(MissingExtraError, match=r"no_such_library.*pip install 'seqloom\[all\]'"):
        pipeline.run_recipe(checked, places)
    assert not places.root.exists()


def test_stopped_training_names_no_option_that_run_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stopped(config: object) -> None:
        raise InterruptedRunError("stopped after step 4 of 9: go on by the same command with --resume")

    monkeypatch.setattr("biotrain.loop.train", stopped)
    places = Places.under(tmp_path / "out")
    checked = check_recipe(read_recipe("quickstart", []), places, where="quickstart")
    with pytest.raises(InterruptedRunError) as error:
        stages._train(checked, places)
    assert "same command" in str(error.value) and "--resume" not in str(error.value)


def test_a_model_that_writes_no_sequences_ends_with_what_it_can(tmp_path: Path) -> None:
    values = {"data": {"read": {"inputs": ["x.fa"]}}, "tokenizer": {"kind": "codon"},
              "train": {"model": "bert", "objective": "mlm"}}  # fmt: skip
    places = Places.under(tmp_path)
    recipe = check_recipe(values, places, where="mine.yaml")
    assert recipe.generate is None and recipe.sequences is None
    line = "mine.yaml: generate: model 'bert' trained by 'mlm' writes no sequences"
    with pytest.raises(ConfigError, match=line):
        check_recipe(values | {"generate": {"num": 3}}, places, where="mine.yaml")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_run(name: str, tmp_path: Path) -> None:
    check_recipe(read_recipe(name, []), Places.under(tmp_path), where=name)
