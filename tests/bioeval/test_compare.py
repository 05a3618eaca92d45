"""Two folders of results: differences with signs, corrected p-values, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError, SeqloomError
from bioeval.compare import CompareConfig, as_markdown, compare_folders
from bioeval.stats import Resampling, compare
from seqloom_cli.main import app
from tests.result_folders import add_result, write_results

RNG = np.random.default_rng(0)
N = 80
Y = RNG.standard_normal(N)
GOOD, POOR = Y + 0.3 * RNG.standard_normal(N), Y + 1.5 * RNG.standard_normal(N)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """`good` and `poor`, on a rank task and an error task; in the second folder items lie the other way."""
    a, b = tmp_path / "a", tmp_path / "b"
    write_results(a, [add_result(a, "good", t, Y, GOOD, metric=m) for t, m in TASKS])
    back = {"ids": [f"r{i}" for i in range(N)][::-1]}
    write_results(b, [add_result(b, "poor", t, Y[::-1], POOR[::-1], metric=m, **back) for t, m in TASKS])
    return a, b


TASKS = (("ranked", "spearman"), ("errors", "rmse"))


def run(a: Path, b: Path, **changes: Any) -> dict[str, Any]:
    return compare_folders(CompareConfig(first=a, second=b, **{"resamples": 300, **changes}))


def test_differences_keep_their_sign_and_items_are_aligned(folders: tuple[Path, Path]) -> None:
    ranked, errors = run(*folders)["tasks"]
    assert ranked["delta"] > 0 > errors["delta"]  # of an error, lower is better
    assert ranked["verdict"] == errors["verdict"] == "good is better"
    reference = compare("spearman", Y, GOOD, POOR, how=Resampling(resamples=300))
    assert (ranked["lo"], ranked["hi"], ranked["p_value"]) == (
        reference.delta.lo, reference.delta.hi, reference.p_value,
    )  # fmt: skip
    assert ranked["delta"] == pytest.approx(ranked["first"] - ranked["second"])
    turned = run(*folders[::-1])["tasks"][0]
    assert turned["delta"] == pytest.approx(-ranked["delta"]) and turned["verdict"] == "good is better"


def test_p_values_are_corrected_for_all_tasks(folders: tuple[Path, Path]) -> None:
    rows = run(*folders)["tasks"]
    p = sorted(row["p_value"] for row in rows)
    assert sorted(row["p_holm"] for row in rows) == pytest.approx(sorted([2 * p[0], max(2 * p[0], p[1])]))
    assert [row["p_bh"] for row in run(*folders, tasks=("errors",))["tasks"]] == [rows[1]["p_value"]]


def test_equal_models_cannot_be_told_apart_and_the_power_is_said(tmp_path: Path) -> None:
    other = GOOD + 0.05 * RNG.standard_normal(N)
    write_results(tmp_path / "a", [add_result(tmp_path / "a", "good", "t", Y, GOOD)])
    write_results(tmp_path / "b", [add_result(tmp_path / "b", "other", "t", Y, other)])
    row = run(tmp_path / "a", tmp_path / "b")["tasks"][0]
    assert row["verdict"] == "cannot be told apart" and row["lo"] <= 0 <= row["hi"]
    assert row["power"] == (
        f"this test set (80 rows) cannot tell apart differences under {row['detectable']:.2g}"
    )
    same = run(tmp_path / "a", tmp_path / "a")["tasks"][0]
    assert (same["delta"], same["p_value"], same["power"]) == (0, 1, "")


def test_a_model_is_chosen_by_name_also_a_baseline(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    noise = RNG.standard_normal(N)
    rows = [
        add_result(folder, name, "t", Y, p, baselines={"kmer": noise})
        for name, p in (("good", GOOD), ("poor", POOR), ("codon-freq", noise))
    ]
    write_results(folder, rows)
    with pytest.raises(
        ConfigError, match="has 3 models, choose one by --first-model: good, poor, codon-freq"
    ):
        run(folder, folder)
    found = run(folder, folder, first_model="poor", second_model="kmer")
    assert found["second"]["model"] == "kmer"
    assert found["tasks"][0]["second"] == rows[0]["baselines"]["kmer"]["value"]
    with pytest.raises(ConfigError, match=r"has no model 'bad' \(it has: good, poor, codon-freq, kmer\)"):
        run(folder, folder, first_model="bad", second_model="kmer")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"ids": [f"r{i}" for i in range(1, N + 1)]},
            r"80 and 80 items, 1 only in .*a \(first 'r0'\), 1 only",
        ),
        ({"y": Y + (np.arange(N) == 3)}, "1 items measured otherwise, first 'r3': "),
        ({"groups": [str(i // 2) for i in range(N)]}, "the same items in other groups"),
        ({"metric": "pearson"}, "scored by spearman and by pearson"),
        ({"task": "u"}, "no task in common: t in .*a, u in .*b"),
    ],
)
def test_other_items_are_refused_in_one_line(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_results(a, [add_result(a, "good", "t", Y, GOOD)])
    settings = {"task": "t", "y": Y, "p": POOR, **change}
    write_results(b, [add_result(b, "poor", **settings)])
    with pytest.raises(DataError, match=text) as caught:
        run(a, b)
    assert "\n" not in str(caught.value)


def test_an_undefined_score_is_said_and_not_corrected_for(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_results(a, [add_result(a, "good", t, Y, GOOD) for t in ("t", "u")])
    write_results(b, [add_result(b, "flat", t, Y, p) for t, p in (("t", np.zeros(N)), ("u", POOR))])
    flat, fine = run(a, b)["tasks"]
    assert flat["verdict"] == "cannot be compared: all predictions are equal"
    assert flat["delta"] is flat["p_holm"] is flat["p_bh"] is None
    assert fine["p_holm"] == fine["p_value"]
    assert "| – | – | – | – |" in as_markdown(run(a, b))


def test_damaged_folders_are_one_line(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    a, b = folders
    for make, error in (
        (lambda: run(tmp_path / "no", b), r"no: no results\.json \(a folder that"),
        (lambda: run(a, b, tasks=("x",)), r"a has no results on task 'x' \(it has: ranked, errors\)"),
    ):
        with pytest.raises(SeqloomError, match=error):
            make()
    (a / "predictions" / "good__ranked.parquet").unlink()
    with pytest.raises(DataError, match=r"good__ranked\.parquet: no predictions"):
        run(a, b)
    (a / "predictions" / "good__ranked.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no file of predictions"):
        run(a, b)
    (a / "results.json").write_text('{"results": [{}]}')
    with pytest.raises(DataError, match="no results file: KeyError"):
        run(a, b)


def test_the_command_prints_a_table_or_one_object(folders: tuple[Path, Path]) -> None:
    arguments = ["eval", "compare", *map(str, folders), "--resamples", "200"]
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    first = json.loads(found.stdout)["tasks"][0]
    assert {"task", "delta", "lo", "hi", "p_value", "test"} <= set(first)
    assert first["test"] == "paired permutation"
    table = CliRunner().invoke(app, arguments).stdout.splitlines()
    assert table[0] == "Difference: `good` minus `poor`"
    assert table[2].count("|") == table[4].count("|") == 11 and table[4].startswith(
        "| ranked | spearman | 80 |"
    )
    wrong = CliRunner().invoke(app, ["eval", "compare", str(folders[0]), "nowhere"])
    assert wrong.exit_code == 3 and wrong.stdout == ""
