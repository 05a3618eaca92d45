"""The leaderboard: its figures, its twins, and results of others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError, SeqloomError
from bioeval.leaderboard.build import build_leaderboard
from bioeval.leaderboard.config import LeaderboardConfig
from seqloom_cli.main import app
from tests.bioeval.boards import ALPHA, BETA, GAMMA, KMER, ONE_HOT, OTHER, N, Y, make_board, make_inputs
from tests.result_folders import add_result, write_results


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_inputs(tmp_path_factory.mktemp("boards"))


@pytest.fixture(scope="module")
def board(inputs: list[Path]) -> dict[str, Any]:
    return make_board(inputs)


def row(board: dict[str, Any], task: str, model: str) -> dict[str, Any]:
    rows = next(t for t in board["tasks"] if t["task"] == task)["rows"]
    return next(r for r in rows if r["model"] == model)


def test_places_ties_and_directions(board: dict[str, Any]) -> None:
    for task in ("ranked", "errors"):
        alpha, beta, floor = (row(board, task, m) for m in ("alpha", "beta", "one-hot"))
        assert alpha["tie_group"] == beta["tie_group"] == 1
        assert (alpha["rank_lo"], alpha["rank_hi"]) == (1, 2) == (beta["rank_lo"], beta["rank_hi"])
        assert floor["rank"] >= 3 and floor["tie_group"] > 1 and floor["baseline"]
        assert {"one-hot", "kmer"} <= set(alpha["beats"])
    gamma = row(board, "ranked", "gamma")
    assert not gamma["baseline"] and gamma["rank"] == 6
    assert [t["lower_is_better"] for t in board["tasks"]] == [False, True]


def test_a_model_with_figures_alone_has_a_place_too(board: dict[str, Any]) -> None:
    found = row(board, "ranked", "published")
    assert not found["paired"] and found["origin"] == "Table 2" and found["rank"] is not None
    assert found["rank_lo"] < found["rank_hi"] or found["rank"] == 4


def test_all_tasks_together(board: dict[str, Any]) -> None:
    models = {m["model"]: m for m in board["models"]}
    assert len(models) == 6 == len(board["models"])  # baselines of two folders are one row
    assert [m["model"] for m in board["models"]][:2] in (["alpha", "beta"], ["beta", "alpha"])
    assert models["alpha"]["tie_group"] == models["beta"]["tie_group"] == 1
    assert models["gamma"]["place"] is None and models["gamma"]["tasks"] == 1
    alpha = models["alpha"]
    assert (alpha["above_baseline"], alpha["against_baseline"], alpha["leaking_tasks"]) == (2, 2, 1)
    assert (alpha["parameters"], alpha["seconds"]) == (1000, 3.0)
    assert models["published"]["leaking_tasks"] is None  # not checked is not zero
    for m in models.values():
        met = sum(
            len(t["rows"]) - 1 for t in board["tasks"] if any(r["model"] == m["model"] for r in t["rows"])
        )
        assert m["wins"] + m["ties"] + m["losses"] == met
    assert sum(m["wins"] for m in models.values()) >= 10


def test_one_task_has_one_set_of_tie_groups(tmp_path: Path) -> None:
    models = (("alpha", ALPHA), ("beta", BETA), ("gamma", GAMMA))
    write_results(tmp_path / "a", [add_result(tmp_path / "a", n, "ranked", Y, p, metric="spearman",
                                              baselines={"kmer": KMER, "one-hot": ONE_HOT})
                                   for n, p in models])  # fmt: skip
    config = LeaderboardConfig(inputs=(str(tmp_path / "a"),), out=tmp_path / "board.html", resamples=300)
    board = build_leaderboard(config)
    of_task, of_all = (
        {row["model"]: row["tie_group"] for row in rows}
        for rows in (board["tasks"][0]["rows"], board["models"])
    )
    assert of_task == of_all and len(set(of_all.values())) > 2


def test_intervals_likely_too_narrow_say_so_on_the_board(tmp_path: Path) -> None:
    why = "interval likely too narrow: 12 rows, 15 are wanted"
    result = add_result(tmp_path / "a", "alpha", "ranked", Y, ALPHA, metric="spearman")
    write_results(tmp_path / "a", [result | {"interval": {"caution": why, "level": 0.95}}])
    out = tmp_path / "board.html"
    board = build_leaderboard(LeaderboardConfig(inputs=(str(tmp_path / "a"),), out=out, resamples=100))
    assert board["tasks"][0]["caution"] == why
    assert why[1:] in out.read_text() and why in out.with_suffix(".md").read_text()


def test_differences_are_corrected_over_the_board(board: dict[str, Any]) -> None:
    for task in ("ranked", "errors"):
        found = row(board, task, "alpha")
        assert found["difference"]["p_holm"] == pytest.approx(0.002)
        assert found["verdict"] == "better"


def test_power_stands_with_every_task(board: dict[str, Any]) -> None:
    for task in board["tasks"]:
        assert task["power"] == (
            f"this test set (120 rows) cannot tell apart differences under {task['detectable']:.2g}"
        )


def test_twins_hold_the_same(board: dict[str, Any]) -> None:
    page = Path(board["path"]).read_text()
    island = re.search(r'<script type="application/json" id="board">(.*?)</script>', page, re.S)
    assert island
    twin = json.loads(Path(board["json"]).read_text())
    assert json.loads(island[1]) == twin
    assert twin["models"] == board["models"] and "NaN" not in island[1]
    lines = Path(board["markdown"]).read_text().splitlines()
    assert lines[0] == "# Our models" and "## ranked" in lines
    assert sum(line.startswith("|") for line in lines) == 2 + 6 + 2 + 6 + 2 + 4
    assert len({line.count("|") for line in lines[2:10]}) == 1


def test_the_same_inputs_give_the_same_bytes(board: dict[str, Any], inputs: list[Path]) -> None:
    before = [Path(board[k]).read_bytes() for k in ("path", "json", "markdown")]
    again = build_leaderboard(
        LeaderboardConfig(
            inputs=tuple(map(str, inputs)), out=Path(board["path"]), resamples=300, title="Our models"
        )
    )
    assert [Path(again[k]).read_bytes() for k in ("path", "json", "markdown")] == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"value": "good"},
            r"other\.json: results\[0\]\.value: input should be a valid number, found 'good'",
        ),
        ({"value": float("nan")}, r"results\[0\]\.value: input should be a finite number, found nan"),
        ({"n": 0}, r"results\[0\]\.n: input should be greater than or equal to 1, found 0"),
        ({"lo": 0.7}, r"results\[0\]\.lo: lo 0\.7 above hi 0\.6"),
        ({"lo": None}, r"results\[0\]: lo and hi go together"),
        ({"value": None}, r"results\[0\]\.value: an interval without a value"),
        ({"model": ""}, r"results\[0\]\.model: string should have at least 1 character"),
        ({"model": "two\nlines"}, r"results\[0\]\.model: string should match pattern .*found 'two"),
        ({"metric": "fancy"}, r"results\[0\]\.metric: unknown metric 'fancy' .*lower_is_better"),
        ({"metrics": 3, "metric": None}, r"results\[0\]\.metric: input should be a valid string, found None"),
        ({"baselin": True}, r"results\[0\]\.baselin: unknown field, did you mean 'baseline'\?"),
        (
            {"cost": {"paramters": 3}},
            r"results\[0\]\.cost\.paramters: unknown field, did you mean 'parameters'",
        ),
        (
            {"cost": {"parameters": -3}},
            r"results\[0\]\.cost\.parameters: input should be greater than or equal",
        ),
        ({"cost": 3}, r"results\[0\]\.cost: input should be a valid dictionary"),
        ({"value": 55, "lo": 50, "hi": 60}, r"results\[0\]\.value: spearman is -1 to 1, found 55"),
        ({"value": -0.9}, r"results\[0\]\.value: -0\.9 is far from its interval, 0\.4 to 0\.6"),
        ({"lower_is_better": True}, r"results\[0\]\.lower_is_better: of spearman higher is better"),
        (
            {"baselines": {"mean": {"value": 12}}},
            r"results\[0\]\.baselines\[mean\]\.value: spearman is -1 to 1",
        ),
    ],
)
def test_files_of_others_are_checked_field_by_field(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"results": [OTHER | change]}))
    with pytest.raises(DataError, match=text) as caught:
        build_leaderboard(LeaderboardConfig(inputs=(str(path),), out=tmp_path / "x.html"))
    assert "\n" not in str(caught.value) and not (tmp_path / "x.html").exists()


def test_wrong_files_are_one_line(tmp_path: Path, inputs: list[Path]) -> None:
    path = tmp_path / "other.json"

    def make(content: str, *more: Path) -> None:
        path.write_text(content)
        names = tuple(map(str, [path, *more]))
        build_leaderboard(LeaderboardConfig(inputs=names, out=tmp_path / "x.html", resamples=100))

    twice = json.dumps({"results": [OTHER, OTHER]})
    metric = json.dumps({"results": [OTHER | {"metric": "pearson"}]})
    for content, more, error in (
        ('{"results": [\n', (), r"other\.json:2: not JSON"),
        ("[]", (), r'other\.json: an object \{"results"'),
        ("[" * 100_000, (), r"other\.json: not JSON of results"),
        (twice, (), r"'published' on task 'ranked' stands in results\[0\] and results\[1\]"),
        (metric, (inputs[0],), r"task ranked: scored by different metrics, pearson in .*spearman in"),
    ):
        with pytest.raises(DataError, match=error):
            make(content, *more)
    for names, out, error in (
        (("nowhere",), "x.html", "nowhere: not there"),
        ((), "x.html", "no folders given"),
        (("a",), "x.txt", r"allowed: a file name that ends in \.html"),
        ((str(path),), "other.html", "would be overwritten"),
    ):
        with pytest.raises(SeqloomError, match=error):
            build_leaderboard(LeaderboardConfig(inputs=names, out=tmp_path / out))
    with pytest.raises(ConfigError, match="resamples = 3"):
        LeaderboardConfig(inputs=("a",), out=Path("x.html"), resamples=3)


def test_one_name_for_two_models_is_told_apart_and_other_items_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, p in zip(folders[:2], (ALPHA, GAMMA)):
        write_results(folder, [add_result(folder, "run", "t", Y, p, baselines={"kmer": KMER})])
    config = LeaderboardConfig(
        inputs=tuple(map(str, folders[:2])), out=tmp_path / "x.html", resamples=200
    )  # fmt: skip
    names = {m["model"] for m in build_leaderboard(config)["models"]}
    assert names == {f"run ({folders[0]})", f"run ({folders[1]})", "kmer"}
    ids = [f"s{i}" for i in range(N)]
    write_results(folders[2], [add_result(folders[2], "else", "t", Y, BETA, ids=ids)])
    with pytest.raises(
        DataError, match="task t: not scored on the same items: 120 and 120 items, 120 only in"
    ):
        build_leaderboard(
            LeaderboardConfig(inputs=(str(folders[0]), str(folders[2])), out=tmp_path / "y.html")
        )


def test_the_command(inputs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "board.html"
    arguments = ["eval", "leaderboard", *map(str, inputs), "--out", str(out), "--resamples", "100"]
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["path"] == str(out) and out.is_file()
    shown = CliRunner().invoke(app, arguments)
    assert shown.stdout.startswith("| place | model |") and "board.md" in shown.stdout


def test_parameters_are_those_of_the_model_or_of_a_baseline_s_probe(tmp_path: Path) -> None:
    folder, twin = tmp_path / "e", "random-init:run"
    row = add_result(folder, "run", "t", Y, ALPHA, baselines={"kmer": KMER, twin: ONE_HOT})
    row["cost"] = {"parameters": 7_000_000, "probe_parameters": 129, "seconds": 2}
    for name in ("kmer", twin):
        row["baselines"][name]["cost"] = {"parameters": 129, "seconds": None}
    write_results(folder, [row])
    config = LeaderboardConfig(inputs=(str(folder),), out=tmp_path / "x.html", resamples=100)
    found = {m["model"]: m["parameters"] for m in build_leaderboard(config)["models"]}
    assert found == {"run": 7_000_000, "kmer": 129, twin: None}
