"""The leaderboard: its figures, its twins, results of others, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError, SeqloomError
from bioeval.leaderboard.build import build_leaderboard
from bioeval.leaderboard.config import LeaderboardConfig
from bioeval.leaderboard.page import render_page
from seqloom_cli.main import app
from tests.result_folders import add_result, write_results

N = 120
RNG = np.random.default_rng(0)
Y = RNG.standard_normal(N)
KMER, ONE_HOT = Y + 2 * RNG.standard_normal(N), Y + 1.2 * RNG.standard_normal(N)
ALPHA = Y + 0.3 * RNG.standard_normal(N)
BETA = ALPHA + 0.02 * RNG.standard_normal(N)
GAMMA = Y + 6 * RNG.standard_normal(N)
FLOORS = {"kmer": KMER, "one-hot": ONE_HOT}
OTHER: dict[str, Any] = {
    "model": "published", "task": "ranked", "metric": "spearman", "value": 0.5, "lo": 0.4, "hi": 0.6, "n": N,
    "source": "Table 2", "cost": {"parameters": 86_000_000},
}  # fmt: skip
EVIL = "</script><script>alert(1)</script>"


def difference(delta: float, p: float) -> dict[str, Any]:
    return {"delta": delta, "lo": delta - 0.1, "hi": delta + 0.1, "p_value": p}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders and a file of others: `alpha` and `beta` tie, `gamma` is below the baselines."""
    root = tmp_path_factory.mktemp("boards")
    a, b, other = root / "a", root / "b", root / "other.json"
    tasks = (("ranked", "spearman"), ("errors", "rmse"))
    rows = [add_result(a, "alpha", t, Y, ALPHA, metric=m, baselines=FLOORS) for t, m in tasks]
    for row, delta in zip(rows, (0.3, -0.4)):
        row["strongest_baseline"] = "one-hot"
        row["baselines"]["one-hot"]["difference"] = difference(delta, 0.001)
    rows[0]["leakage"]["train_test_rows"] = 7
    write_results(a, rows)
    back = {"ids": [f"r{i}" for i in range(N)][::-1], "baselines": {"kmer": KMER[::-1]}}
    rows = [
        add_result(b, name, t, Y[::-1], p[::-1], metric=m, **back)
        for name, p in (("beta", BETA), ("gamma", GAMMA), ("one-hot", ONE_HOT))
        for t, m in tasks
        if (name, t) != ("gamma", "errors")
    ]
    write_results(b, rows)
    other.write_text(json.dumps({"results": [OTHER]}))
    return [a, b, other]


@pytest.fixture(scope="module")
def board(inputs: list[Path]) -> dict[str, Any]:
    out = inputs[0].parent / "board.html"
    return build_leaderboard(
        LeaderboardConfig(inputs=tuple(map(str, inputs)), out=out, resamples=300, title="Our models")
    )


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


class Tables(HTMLParser):
    """Tags that nest, and what a screen reader needs of a table."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []
        self.feed(page)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [str(given[k]) for k in ("src", "href", "srcset", "action", "data") if k in given]
        if tag == "th":
            assert given.get("scope") in ("col", "row")
        if tag == "svg":
            assert given.get("role") == "img" and given.get("aria-label")
        if tag not in ("meta", "input", "line", "circle"):
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_the_page_is_self_contained_and_readable_by_machines(board: dict[str, Any]) -> None:
    page = Path(board["path"]).read_text()
    tables = Tables(page)
    assert tables.addresses == [] and tables.counts["table"] == tables.counts["caption"] == 4
    assert tables.counts["svg"] == 10  # an interval in each row of each task
    assert not re.search(r"https?://|//[a-z]+\.|url\(|@import|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page and "prefers-color-scheme:dark" in page
    assert page.count('class="floor"') == 2 * 4 and "⚠ 7 of 120" in page


def test_names_are_escaped() -> None:
    board = {"tasks": [], "models": [], "note": EVIL}
    page = render_page(board, title=EVIL)
    assert EVIL not in page and page.count("<script") == 2
    Tables(page)


HOOK = """
<script>
const errors = [], $ = s => [...document.querySelectorAll(s)];
window.addEventListener("error", e => errors.push(e.message));
document.addEventListener("securitypolicyviolation", e => errors.push("policy: " + e.blockedURI));
const names = () => $("#overall tbody tr:not([hidden])").map(r => r.dataset.model);
const head = text => $("#overall thead button").find(b => b.textContent === text);
const set = (id, name, value) => {
  const e = document.getElementById(id); e[name] = value; e.dispatchEvent(new Event("input"));
};
const seen = {start: names(), count0: document.getElementById("count").textContent};
head("Model").click(); seen.byName = names(); seen.sort1 = head("Model").closest("th").ariaSort;
head("Model").click(); seen.byNameDown = names(); seen.sort2 = head("Model").closest("th").ariaSort;
head("Parameters").click(); seen.bySize = names();
head("Parameters").click(); seen.bySizeDown = names();
head("Place").click(); seen.byPlace = names();
set("q", "value", "ALPHA"); seen.found = names(); seen.count1 = document.getElementById("count").textContent;
set("q", "value", ""); set("floors", "checked", false); seen.noFloors = names();
set("floors", "checked", true); set("task", "value", "errors");
seen.sections = $("section[data-task]:not([hidden])").map(s => s.dataset.task);
seen.columns = $("#heat thead th:not([hidden])").length;
set("task", "value", "");
seen.requests = performance.getEntriesByType("resource").length;
seen.bars = $("svg.bar").filter(b => b.getBoundingClientRect().width > 50).length;
seen.heat = getComputedStyle($(".heat td.cell")[0]).backgroundColor;
seen.errors = errors;
const pre = document.createElement("pre"); pre.id = "seen"; pre.textContent = JSON.stringify(seen);
document.body.append(pre);
</script>
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str:
    """A headless browser, or a skip that says that the page was not opened."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"the page was not opened: none of {', '.join(BROWSERS)} is on PATH")
    return found


def test_a_browser_sorts_filters_and_asks_nobody(board: dict[str, Any], tmp_path: Path) -> None:
    copy = tmp_path / "copy.html"
    copy.write_text(Path(board["path"]).read_text().replace("</body>", HOOK + "</body>"))
    run = subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,1600", "--enable-logging=stderr",
         f"--screenshot={tmp_path / 'page.png'}", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    dom = re.search(r'<pre id="seen">(.*?)</pre>', run.stdout, re.S)
    assert dom, run.stderr[-2000:]
    seen = json.loads(dom[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    every = ["alpha", "beta", "gamma", "kmer", "one-hot", "published"]
    assert seen["errors"] == [] and seen["requests"] == 0 and "CONSOLE" not in run.stderr
    assert seen["start"] == [m["model"] for m in board["models"]]
    assert seen["byName"] == every and seen["byNameDown"] == every[::-1]
    assert (seen["sort1"], seen["sort2"]) == ("ascending", "descending")
    assert seen["bySizeDown"][0] == "published"
    assert (
        set(seen["bySize"][-2:]) == {"kmer", "one-hot"} == set(seen["bySizeDown"][-2:])
    )  # unknown come last
    assert seen["byPlace"][-2:] == sorted(["gamma", "published"]) or len(seen["byPlace"]) == 6
    assert seen["found"] == ["alpha"]
    assert (seen["count0"], seen["count1"]) == ("6 of 6 models", "1 of 6 models")
    assert set(seen["noFloors"]) == {"alpha", "beta", "gamma", "published"}
    assert seen["sections"] == ["errors"] and seen["columns"] == 2
    assert seen["bars"] == 10 and seen["heat"] not in ("", "rgba(0, 0, 0, 0)")


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
