"""What stands beside a score: other metrics, repeated splits, and rows near the pretraining data."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biodata.errors import ConfigError, DataError
from biodata.files import write_json
from biodata.schema import SPLITS, BioSequence
from bioeval.evaluate import EvalConfig, evaluate
from bioeval.leakage import pretraining_rows
from bioeval.report.page import ReportInputs, write_part
from bioeval.scores import METRICS
from bioeval.stats import Resampling, interval
from tests.bioeval.conftest import planted_records, write_dataset_folder
from tests.bioeval.test_kinds import TASKS, run


def evaluated(task: Path, out: Path, model: str, **changes: Any) -> dict[str, Any]:
    settings = {"resamples": 100, "repeats": 0, "device": "cpu", **changes}
    return evaluate(EvalConfig(models=(model,), tasks=(str(task),), out=out, **settings))["results"][0]


def known_data(folder: Path, n: int, *, train: Sequence[BioSequence] = ()) -> Path:
    """A dataset whose train rows are the first n test rows of the planted task, and others."""
    tests = [r for r in planted_records() if r.split == "test"]
    rows = [replace(r, id=f"p{r.id}", split="train") for r in tests[:n]]
    write_dataset_folder(
        folder, [*rows, *train, *(r for r in planted_records(20, seed=9) if r.split != "train")]
    )
    files = [{"name": f"data/{s}-00000-of-00001.parquet", "split": s} for s in SPLITS]
    write_json(folder / "manifest.json", {"schema_version": 1, "splits": {}, "files": files})
    return folder


@pytest.mark.parametrize("kind", ["regression", "classification", "multi-label", "retrieval", "clustering"])
def test_no_metric_is_without_its_interval_and_its_baseline(kind: str, tmp_path: Path) -> None:
    result, table = run(TASKS[kind], tmp_path)
    names = {"regression": "number", "classification": "class", "multi-label": "labels"}
    assert {result["metric"], *result["other_metrics"]} == set(METRICS[names.get(kind, kind)])
    for found in result["other_metrics"].values():
        for one in (found, found["baseline"]):
            assert one["lo"] <= one["value"] <= one["hi"]
    if kind == "regression":
        y, p, rival = (
            table.column(name).to_numpy()
            for name in ("y", "prediction", f"prediction_{result['strongest_baseline']}")
        )
        for predictions, found in (
            (p, result["other_metrics"]["rmse"]),
            (rival, result["other_metrics"]["rmse"]["baseline"]),
        ):
            expected = interval("rmse", y, predictions, how=Resampling(resamples=100))
            assert (found["value"], found["lo"], found["hi"]) == (expected.value, expected.lo, expected.hi)


def test_rows_near_the_pretraining_data_are_counted_and_left_out_of_a_second_score(
    gpt2: Path, planted_task: Path, tmp_path: Path
) -> None:
    data = known_data(tmp_path / "known", 4)
    result = evaluated(planted_task, tmp_path / "e", str(gpt2), pretraining=data)
    found = result["leakage"]["pretraining"]
    assert (found["dataset"], found["rows"], found["of"]) == ("known", 4, 30)
    clean = found["score_without_leaking_rows"]
    assert clean["n"] == 26 and clean["lo"] <= clean["value"] <= clean["hi"]
    table = pq.read_table(next((tmp_path / "e" / "predictions").glob("*.parquet")))
    y, p = (table.column(name).to_numpy()[4:] for name in ("y", "prediction"))
    groups = tuple(table.column("group").to_pylist()[4:])
    expected = interval("spearman", y, p, groups=groups, how=Resampling(resamples=100))
    assert (clean["value"], clean["lo"], clean["hi"]) == (expected.value, expected.lo, expected.hi)
    assert "4 of 30 test rows are near its pretraining data known, without them " in result["sentence"]
    page = write_part(ReportInputs(evaluation=tmp_path / "e", title="t"), tmp_path / "page.html").read_text()
    assert "4 of 30 test rows are near its pretraining data known" in page and "Other metrics" in page


def test_of_pairs_both_sides_are_looked_for_in_the_pretraining_data(tmp_path: Path) -> None:
    pairs, planted = TASKS["pairs"], planted_records(20, seed=9)
    seen = [*pairs.sequences("test")[:2], *(pairs.seconds("test") or [])[2:5]]
    rows = [replace(r, sequence=s, split="train") for r, s in zip(planted, seen)]
    folder = known_data(tmp_path / "known", 0, train=rows)
    near = pretraining_rows(pairs, folder, identity=0.9, coverage=0.8)
    assert near is not None and near.tolist() == [True] * 5 + [False] * 13
    proteins = replace(pairs, config=replace(pairs.config, second_alphabet="protein"))
    near = pretraining_rows(proteins, folder, identity=0.9, coverage=0.8)
    assert near is not None and near.tolist() == [True] * 2 + [False] * 16


def test_a_run_names_its_training_data_itself(gpt2: Path, planted_task: Path, tmp_path: Path) -> None:
    folder, data = tmp_path / "run", known_data(tmp_path / "known", 2)
    shutil.copytree(gpt2, folder)
    (folder / "config.yaml").write_text(f"data: {data}\n")
    for name in (folder, folder / "model"):
        found = evaluated(planted_task, tmp_path / "e", str(name), baselines=False)["leakage"]["pretraining"]
        assert found["rows"] == 2 and found["dataset"] == "known"
    (data / "manifest.json").unlink()
    result = evaluated(planted_task, tmp_path / "f", str(folder), baselines=False)
    found = result["leakage"]["pretraining"]
    assert found["rows"] is None and "is not there, --pretraining DATASET names it" in found["reason"]
    assert f"pretraining data known: {data} is not there" in result["sentence"]


def test_where_pretraining_data_is_unknown_the_leakage_line_says_so(
    gpt2: Path, planted_task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e"
    result = evaluated(planted_task, out, str(gpt2), baselines=False)
    assert result["sentence"].endswith("; pretraining data: not known, --pretraining DATASET names it")
    for name in ("kmer", f"random-init:{gpt2}"):
        result = evaluated(planted_task, out, name, baselines=False)
        assert "pretraining" not in result["leakage"] and "pretraining" not in result["sentence"]
    with pytest.raises(ConfigError, match="does nothing: no model was pretrained"):
        evaluated(planted_task, out, "kmer", pretraining=tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        evaluated(planted_task, out, str(gpt2), pretraining=tmp_path / "nowhere", baselines=False)


def test_repeated_splits_stand_in_the_sentence(planted_task: Path, tmp_path: Path) -> None:
    result = evaluated(planted_task, tmp_path / "e", "kmer", repeats=5)
    own = result["repeated"]["kmer"]
    text = f"mean of 5 repeated splits {own['mean']:.3f} [{own['lo']:.3f}, {own['hi']:.3f}]"
    assert text in result["sentence"]


def test_a_class_that_never_trains_is_said(tmp_path: Path) -> None:
    task = TASKS["classification"]
    labels, splits = (task.table.column(name).to_pylist() for name in ("label", "split"))
    test = [row for row, split in enumerate(splits) if split == "test"]
    for row in test[:2]:
        labels[row] = 2
    at = task.table.column_names.index("label")
    table = task.table.set_column(at, "label", pa.array(labels, pa.int64()))
    result, _ = run(replace(task, table=table, classes=("a", "b", "c")), tmp_path)
    assert result["data"]["test_items_of_untrained_classes"] == 2
    assert "; 2 test items are of classes without train rows" in result["sentence"]
    assert "untrained" not in str(run(task, tmp_path)[0]["data"])


def test_another_setting_in_the_same_folder_says_what_it_replaces(
    planted_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for probe in ("ridge", "ridge", "knn"):
        evaluated(planted_task, tmp_path / "e", "kmer", probe=probe)
        said.append("that is there was made of other settings" in capsys.readouterr().err)
    assert said == [False, False, True]


@pytest.mark.parametrize("change", [{"layer": "1"}, {"pooling": "max"}])
def test_a_layer_that_no_model_has_is_refused(
    gpt2: Path, planted_task: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    for name in ("kmer", "tests.bioeval.test_functions:third_gc"):
        with pytest.raises(ConfigError, match="does nothing: baselines, functions"):
            evaluated(planted_task, tmp_path / "e", name, **change)
    result = evaluated(planted_task, tmp_path / "e", str(gpt2), baselines=False, **change)
    assert result["embedding"].items() >= change.items()
