"""The page of a leaderboard: self-contained, readable by machines, and opened in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bioeval.leaderboard.page import render_page
from tests.bioeval.boards import ALPHA, Y, make_board, make_inputs
from tests.result_folders import add_result, write_results

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_board(make_inputs(tmp_path_factory.mktemp("boards")))


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


def test_one_model_on_one_task_is_no_plural(tmp_path: Path) -> None:
    write_results(tmp_path / "a", [add_result(tmp_path / "a", "alpha", "ranked", Y, ALPHA)])
    page = Path(make_board([tmp_path / "a"])["path"]).read_text()
    assert "1 model or baseline on 1 task," in page and "Mean place over the task;" in page
    assert not re.search(r"\b1 (models|tasks)\b", page)


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


def test_the_picture_in_the_docs_is_small(project: Path) -> None:
    assert (project / "docs" / "leaderboard.png").stat().st_size < 150_000
