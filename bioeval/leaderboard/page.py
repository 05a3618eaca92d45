"""The board as one HTML file that opens offline: tables that sort and filter, bars as inline SVG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from biodata import __version__
from bioeval.leaderboard.script import SCRIPT
from bioeval.leaderboard.style import BOARD_STYLE
from bioeval.report.markup import Html, figures, paragraph, text
from bioeval.report.style import STYLE
from bioeval.report.verdicts import model_name

Json = Mapping[str, Any]
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What the browser lets the page do: nothing but its own script and style."""

WORDS = (
    "Places are counted among all rows of a task on the same resampled test items; beside each stands the "
    "range of places that a 95 % interval leaves open. Rows of one tie group cannot be told from the best of "
    "them. Rows in grey are baselines. Differences to the strongest baseline are tested in pairs and "
    "corrected (Holm) over the whole board. Figures only: without predictions a row is compared by its "
    "interval."
)


def render_page(board: Json, *, title: str) -> str:
    """The page as text.

    Args:
        board: of `board.make_board`.
        title: heading.
    """
    island = json.dumps(board, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    tasks, models = board["tasks"], board["models"]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}{BOARD_STYLE}</style></head><body><main>"
        f"<header><h1>{text(title)}</h1><p>{len(models)} "
        f"{'model or baseline' if len(models) == 1 else 'models and baselines'} on {len(tasks)} "
        f"{'task' if len(tasks) == 1 else 'tasks'}, made by seqloom {text(__version__)}</p></header>"
        f"{paragraph(WORDS)}{_controls(tasks)}{_overall(board)}{_heat(board)}"
        f"{''.join(_task(task) for task in tasks)}"
        "<footer>Every figure of this page stands in the JSON file beside it.</footer></main>"
        f'<script type="application/json" id="board">{island}</script><script>{SCRIPT}</script></body>'
        "</html>\n"
    )


def _controls(tasks: Sequence[Json]) -> str:
    options = "".join(f'<option value="{text(t["task"])}">{text(t["task"])}</option>' for t in tasks)
    return (
        '<form class="controls" onsubmit="return false"><label>Model <input type="search" id="q" '
        'placeholder="part of a name"></label><label>Task <select id="task"><option value="">all</option>'
        f'{options}</select></label><label><input type="checkbox" id="floors" checked> baselines</label>'
        '<p id="count" aria-live="polite"></p></form>'
    )


def _overall(board: Json) -> str:
    many = len(board["tasks"])
    head = [
        ("Place", 1), ("Model", 0), ("Tie group", 1), ("Mean place", 1), ("Open", 0), ("Tasks", 1),
        ("Won – tied – lost", 1), ("Above baseline", 1), ("Leaks", 1), ("Parameters", 1), ("Seconds", 1),
    ]  # fmt: skip
    rows = [_table_row(row, _overall_cells(row, many)) for row in board["models"]]
    over = "the task" if many == 1 else f"the {many} tasks"
    caption = (
        f"Mean place over {over}; models that lack one have no place. Open: mean of the bounds of each task. "
        "Won, tied, lost: against every other row of every task. Parameters: the most of a task, "
        "seconds: of all."
    )
    return f'<section id="overall"><h2>All tasks</h2>{_table(head, rows, caption)}</section>'


def _overall_cells(row: Json, many: int) -> list[str]:
    bounds = (
        f"{figures(row['mean_rank_lo'])} – {figures(row['mean_rank_hi'])}" if row["mean_rank_lo"] else "–"
    )
    baseline = f"{row['above_baseline']} of {row['against_baseline']}" if row["against_baseline"] else "–"
    return [
        _number(row["place"]), "", _group(row["tie_group"]), _number(row["mean_rank"]), _plain(bounds),
        _number(row["tasks"], f"{row['tasks']} of {many}"),
        _number(row["wins"] - row["losses"], f"{row['wins']} – {row['ties']} – {row['losses']}"),
        _number(row["above_baseline"] if row["against_baseline"] else None, baseline),
        _number(row["leaking_tasks"], _flag(row["leaking_tasks"])), *_cost(row),
    ]  # fmt: skip


def _heat(board: Json) -> str:
    tasks = board["tasks"]
    cells = {(t["task"], r["model"]): r for t in tasks for r in t["rows"]}
    best = {t["task"]: _range(t) for t in tasks}
    head = "".join(
        f'<th scope="col" class="num" data-task="{text(t["task"])}"><button type="button">'
        f"{text(t['task'])}</button></th>"
        for t in tasks
    )
    rows = []
    for model in board["models"]:
        inner = "".join(_heat_cell(t, cells.get((t["task"], model["model"])), best[t["task"]]) for t in tasks)
        rows.append(f"{_open_row(model)}{_model(model)}{inner}</tr>")
    caption = (
        "Scores; the stronger the colour, the nearer to the best row of the task. ⚠ test rows have near "
        "copies in training."
    )
    return (
        f'<section id="heat"><h2>Task by task</h2><div class="scroll"><table class="heat"><caption>{caption}'
        f'</caption><thead><tr><th scope="col"><button type="button">Model</button></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _heat_cell(task: Json, row: Json | None, ends: tuple[float, float]) -> str:
    value = row["value"] if row else None
    attribute = f'class="cell" data-task="{text(task["task"])}" data-v="{"" if value is None else value}"'
    if row is None or value is None:
        return f"<td {attribute}>–</td>"
    low, high = ends
    share = 1.0 if high == low else (value - low) / (high - low)
    heat = 1 - share if task["lower_is_better"] else share
    flag = (
        ' <span class="flag" title="test rows have near copies in training">⚠</span>'
        if row["leaking_rows"]
        else ""
    )
    return f'<td {attribute} style="--heat:{heat:.2f}">{figures(value)}{flag}</td>'


def _task(task: Json) -> str:
    ends = _span(task)
    interval = f"95 % interval, {figures(ends[0])} to {figures(ends[1])}"
    head = [
        ("Place", 1), ("Model", 0), ("Tie group", 1), (task["metric"], 1), (interval, 0),
        ("Difference", 1), ("p (Holm)", 1), ("Leaking rows", 1), ("Parameters", 1),
        ("Seconds", 1),
    ]  # fmt: skip
    rows = [_table_row(row, _task_cells(row, ends)) for row in task["rows"]]
    better = "lower is better" if task["lower_is_better"] else "higher is better"
    size = f", {task['n']:,} test items" if task["n"] else ""
    groups = f" in {task['groups']:,} groups" if task["groups"] else ""
    power = f" {_sentence(task['power'])} (80 % power)." if task["power"] else ""
    caution = f" {_sentence(task['caution'])}." if task["caution"] else ""
    of = f"{task['metric']}, {better}{size}{groups}"
    caption = f"{of}. Difference: to the strongest baseline.{power}{caution}"
    name = text(task["task"])
    return f'<section data-task="{name}"><h2>{name}</h2>{_table(head, rows, caption)}</section>'


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _task_cells(row: Json, ends: tuple[float, float]) -> list[str]:
    place = "–" if row["rank"] is None else f"{row['rank']} ({row['rank_lo']}–{row['rank_hi']})"
    difference = row["difference"] or {}
    delta, lo, hi, p = (difference.get(k) for k in ("delta", "lo", "hi", "p_holm"))
    shown = "–" if delta is None else f"{delta:+.3f}"
    if lo is not None and hi is not None:
        shown += f" [{lo:+.3f}, {hi:+.3f}] to {model_name(row['strongest_baseline'])}"
    of = f" of {row['test_rows']:,}" if row["test_rows"] else ""
    return [
        _number(row["rank"], place), "", _group(row["tie_group"]), _number(row["value"]),
        f"<td>{_bar(row, ends)}</td>", _number(delta, shown), _number(p, None if p is None else f"{p:.2g}"),
        _number(row["leaking_rows"], _flag(row["leaking_rows"], of)), *_cost(row),
    ]  # fmt: skip


def _bar(row: Json, ends: tuple[float, float]) -> str:
    """A dot with its interval on the task's own scale; 0 is marked where it lies within."""
    value, lo, hi = row["value"], row["lo"], row["hi"]
    if value is None:
        return "undefined"
    low, high = ends

    def at(x: float) -> str:
        return f"{4 + 192 * (x - low) / (high - low):.1f}"

    says = f"{figures(value)}"
    line = ""
    if lo is not None and hi is not None:
        says += f", 95 % interval {figures(lo)} to {figures(hi)}"
        line = f'<line x1="{at(lo)}" x2="{at(hi)}" y1="10" y2="10"/>'
    zero = f'<line class="axis" x1="{at(0)}" x2="{at(0)}" y1="0" y2="20"/>' if low <= 0 <= high else ""
    return (
        f'<svg class="bar" viewBox="0 0 200 20" role="img" aria-label="{says}"><title>{says}</title>'
        f'{zero}{line}<circle cx="{at(value)}" cy="10" r="4"/></svg>'
    )


def _table(head: Sequence[tuple[str, int]], rows: Sequence[str], caption: str) -> str:
    cells = "".join(
        f'<th scope="col"{" class=num" if number else ""}><button type="button">{text(name)}</button></th>'
        for name, number in head
    )
    return (
        f'<div class="scroll"><table><caption>{text(caption)}</caption><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _table_row(row: Json, cells: list[str]) -> str:
    """A row whose second cell is its head."""
    cells[1] = _model(row)
    return _open_row(row) + "".join(cells) + "</tr>"


def _open_row(row: Json) -> str:
    floor = ' class="floor" data-floor="1"' if row["baseline"] else ""
    return f'<tr data-model="{text(row["model"])}"{floor}>'


def _model(row: Json) -> str:
    marks = ["baseline"] if row["baseline"] else []
    if not row.get("paired", True):
        marks.append("figures only")
    small = f" <small>{', '.join(marks)}</small>" if marks else ""
    return f'<th scope="row">{text(row["model"])}{small}</th>'


def _number(value: float | None, shown: str | Html | None = None) -> str:
    words = figures(value) if shown is None else text(shown)
    return f'<td class="num" data-v="{"" if value is None else value}">{words}</td>'


def _plain(value: str) -> str:
    return f"<td>{text(value)}</td>"


def _group(number: int | None) -> str:
    shown = "–" if number is None else f'<span class="group">{number}</span>'
    return _number(number, Html(shown))


def _flag(rows: int | None, of: str = "") -> Html:
    if rows is None:
        return Html("not checked")
    return Html(f'<span class="flag">⚠ {rows:,}{of}</span>') if rows else Html("0")


def _cost(row: Json) -> list[str]:
    return [_number(row["parameters"]), _number(row["seconds"])]


def _range(task: Json) -> tuple[float, float]:
    values = [r["value"] for r in task["rows"] if r["value"] is not None]
    return min(values, default=0.0), max(values, default=0.0)


def _span(task: Json) -> tuple[float, float]:
    known = [r[k] for r in task["rows"] for k in ("value", "lo", "hi") if r[k] is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
