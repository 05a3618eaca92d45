"""The whole evaluation: fields of the contract, resuming, verdicts, independent floors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from biodata.errors import ConfigError, DataError
from bioeval.evaluate import EvalConfig, evaluate
from bioeval.results import finished, verdict_sentence
from bioeval.running import bench as module
from bioeval.stats import Resampling, compare

CONTRACT = {"model", "task", "metric", "value", "lo", "hi", "n", "split", "baselines", "leakage",
            "embedding_key", "seed"}  # fmt: skip


def config(task: Path | str, out: Path, *models: str, **changes) -> EvalConfig:
    return EvalConfig(
        models=models,
        tasks=(str(task),),
        out=out,
        **{"resamples": 200, "batch_size": 64, "repeats": 0, **changes},
    )


def untimed(value: Any) -> Any:
    """A result without the seconds it took."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k != "seconds"}
    return value


def test_evaluate_gives_the_fields_of_the_contract(gpt2: Path, planted_task: Path, tmp_path: Path) -> None:
    out = tmp_path / "eval"
    results = evaluate(config(planted_task, out, str(gpt2), "codon-freq"))["results"]
    assert json.loads((out / "results.json").read_text())["results"] == sorted(
        results, key=lambda r: (r["task"], r["model"])
    )
    model, floor = results
    assert set(model) >= CONTRACT
    assert model["lo"] <= model["value"] <= model["hi"]
    assert set(model["baselines"]) == {"codon-freq", "kmer", "one-hot", f"random-init:{gpt2}"}
    assert set(floor["baselines"]) == {"kmer", "one-hot"}
    for baseline in model["baselines"].values():
        assert baseline["lo"] <= baseline["value"] <= baseline["hi"]
    assert model["leakage"]["identity"] == 0.9 and model["leakage"]["train_test_rows"] == 0
    assert model["interval"]["units"] == "groups" and model["interval"]["n_units"] == 15
    assert floor["value"] > 0.9  # codon frequencies hold the planted property
    assert model["baselines"]["codon-freq"]["value"] == floor["value"]


def test_predictions_are_stored_row_by_row(gpt2: Path, planted_task: Path, tmp_path: Path) -> None:
    result = evaluate(config(planted_task, tmp_path / "e", "kmer"))["results"][0]
    table = pq.read_table(tmp_path / "e" / "predictions" / "kmer__planted.parquet")
    assert table.num_rows == result["n"] == 30
    y, p = table.column("y").to_numpy(), table.column("prediction").to_numpy()
    assert result["value"] == pytest.approx(spearmanr(y, p)[0], abs=1e-12)
    assert set(table.column("split").to_pylist()) == {"test"}
    assert "prediction_codon-freq" in table.column_names


def test_a_finished_pair_is_not_run_again(
    gpt2: Path, planted_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(planted_task, tmp_path / "e", str(gpt2))
    first = evaluate(settings)
    before = (tmp_path / "e" / "results.json").read_bytes()
    monkeypatch.setattr(module.Bench, "_run", lambda *a: pytest.fail("a finished pair was run again"))
    assert evaluate(settings) == first
    assert (tmp_path / "e" / "results.json").read_bytes() == before


def test_another_setting_or_lost_predictions_run_again(
    gpt2: Path, planted_task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e"
    first = evaluate(config(planted_task, out, "kmer"))["results"][0]
    other = evaluate(config(planted_task, out, "kmer", seed=1))["results"][0]
    assert other["value"] == first["value"] and other["key"] != first["key"]
    (out / "predictions" / "kmer__planted.parquet").unlink()
    evaluate(config(planted_task, out, "kmer", seed=1))
    assert (out / "predictions" / "kmer__planted.parquet").is_file()


def test_results_are_equal_in_another_folder_and_another_process_order(
    gpt2: Path, planted_task: Path, tmp_path: Path
) -> None:
    a = evaluate(config(planted_task, tmp_path / "a", "kmer", str(gpt2)))["results"]
    b = evaluate(config(planted_task, tmp_path / "b", str(gpt2), "kmer"))["results"]
    assert untimed(a[0]) == untimed(b[1])
    assert untimed(a[1]) == untimed(b[0])


def test_random_init_as_a_model_and_as_the_twin_are_the_same(
    gpt2: Path, planted_task: Path, tmp_path: Path
) -> None:
    name = f"random-init:{gpt2}"
    trained, random = evaluate(config(planted_task, tmp_path / "e", str(gpt2), name))["results"]
    assert trained["baselines"][name]["value"] == random["value"]
    assert trained["embedding_key"] != random["embedding_key"]
    assert name not in random["baselines"]


def test_predictions_of_another_result_do_not_count_as_finished(planted_task: Path, tmp_path: Path) -> None:
    """A process killed between the two files leaves new predictions beside an old result."""
    out, file = tmp_path / "e", "predictions/kmer__planted.parquet"
    evaluate(config(planted_task, out, "kmer", baselines=False))
    assert list(finished(out)) == [("kmer", "planted")]
    evaluate(config(planted_task, tmp_path / "other", "kmer", baselines=False, seed=1))
    (out / file).write_bytes((tmp_path / "other" / file).read_bytes())
    assert finished(out) == {}


def test_a_damaged_results_file_is_one_line(planted_task: Path, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "results.json").write_text('{"result')
    with pytest.raises(DataError, match=r"results\.json: no results file"):
        evaluate(config(planted_task, tmp_path / "e", "kmer"))


def test_a_misspelt_baseline_is_told(planted_task: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="unknown model 'codon_freq', did you mean the baseline 'codon-freq'"
    ):
        evaluate(config(planted_task, tmp_path / "e", "codon_freq"))


def test_without_baselines(planted_task: Path, tmp_path: Path) -> None:
    result = evaluate(config(planted_task, tmp_path / "e", "kmer", baselines=False))["results"][0]
    assert result["baselines"] == {} and result["verdict"] == "no baseline to compare with"


def test_an_interval_alone_does_not_make_it_better() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    found = compare(
        "spearman", y, y + rng.normal(0, 0.2, 60), rng.normal(size=60), how=Resampling(resamples=500)
    )
    assert verdict_sentence("kmer", found, "spearman").startswith("better than kmer")
    doubtful = replace(found, p_value=0.3)
    assert verdict_sentence("kmer", doubtful, "spearman").startswith("not better than kmer")


@pytest.mark.parametrize(
    ("metric", "shift", "word"),
    [("spearman", 2.0, "worse"), ("rmse", 2.0, "worse"), ("rmse", 0.0, "not better")],
)
def test_verdict_knows_the_direction_of_the_metric(metric: str, shift: float, word: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    good = y + rng.normal(0, 0.5, 200)
    bad = y + rng.normal(0, 0.5, 200) + shift * rng.normal(size=200)
    found = compare(metric, y, bad, good, how=Resampling(resamples=500))
    assert verdict_sentence("kmer", found, metric).startswith(f"{word} than kmer: difference ")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": ()}, "no models given"),
        ({"identity": 1.5}, "identity = 1.5"),
        ({"probe": "rigde"}, "did you mean 'ridge'"),
        ({"resamples": 10}, "resamples = 10"),
        ({"layer": "first"}, "layer = 'first'"),
        ({"tasks": ("a", "b"), "data": Path("x")}, "goes with one task, 2 given"),
    ],
)
def test_wrong_settings_are_quoted(changes: dict, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text.replace("(", r"\(")):
        EvalConfig(**{"models": ("kmer",), "tasks": ("mrfp",), "out": tmp_path, **changes})


def test_mrfp_floors_equal_the_independent_measurement(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured with scikit-learn before this code existed: one-hot ridge .786, codon frequency .574."""
    monkeypatch.setenv("SEQLOOM_REAL_DATA", str(real_data))
    results = evaluate(config("mrfp", tmp_path / "e", "codon-freq", "one-hot"))["results"]
    assert results[0]["value"] == pytest.approx(0.574, abs=0.02)
    assert results[1]["value"] == pytest.approx(0.786, abs=0.02)
    assert results[0]["leakage"]["exact_rows"] == 2
    assert results[0]["leakage"]["train_test_rows"] > 50
    clean = results[0]["leakage"]["score_without_leaking_rows"]
    assert clean["n"] == results[0]["n"] - results[0]["leakage"]["train_test_rows"]
    assert "worse than one-hot" in results[0]["verdict"]
    assert f", without them {clean['value']:.3f} [" in results[0]["sentence"]
