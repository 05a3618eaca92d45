"""The board as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bioeval.report.markup import figures
from bioeval.report.verdicts import model_name

Json = Mapping[str, Any]


def render_markdown(board: Json, *, title: str) -> str:
    """The board as text.

    Args:
        board: of `board.make_board`.
        title: heading.
    """
    lines = [f"# {title}", "", *overall_lines(board)]
    for task in board["tasks"]:
        lines += ["", f"## {task['task']}", "", *_task_lines(task)]
    return "\n".join(lines) + "\n"


def overall_lines(board: Json) -> list[str]:
    """The table over all tasks, line by line."""
    lines = [
        "| place | model | tie group | mean place | open | tasks | won - tied - lost | parameters | s |",
        "|---:|---|---:|---:|---|---:|---|---:|---:|",
    ]
    for row in board["models"]:
        open_places = _between(row["mean_rank_lo"], row["mean_rank_hi"])
        lines.append(
            f"| {figures(row['place'])} | {_name(row)} | {figures(row['tie_group'])} | "
            f"{figures(row['mean_rank'])} | {open_places} | {row['tasks']} of {len(board['tasks'])} | "
            f"{row['wins']} - {row['ties']} - {row['losses']} | {figures(row['parameters'])} | "
            f"{figures(row['seconds'])} |"
        )
    return lines


def _task_lines(task: Json) -> list[str]:
    lines = [
        f"| place | model | tie group | {task['metric']} | 95 % interval | against | difference | p (Holm) | "
        "leaking rows |",
        "|---|---|---:|---:|---|---|---:|---:|---:|",
    ]
    for row in task["rows"]:
        place = "–" if row["rank"] is None else f"{row['rank']} ({row['rank_lo']}–{row['rank_hi']})"
        difference = row["difference"] or {}
        delta = difference.get("delta")
        lines.append(
            f"| {place} | {_name(row)} | {figures(row['tie_group'])} | {figures(row['value'])} | "
            f"{_between(row['lo'], row['hi'])} | {model_name(row['strongest_baseline'] or '–')} | "
            f"{'–' if delta is None else f'{delta:+.3f}'} | {_p(difference.get('p_holm'))} | "
            f"{figures(row['leaking_rows'])} |"
        )
    better = "lower" if task["lower_is_better"] else "higher"
    power = f"; {task['power']}" if task["power"] else ""
    caution = f"; {task['caution']}" if task["caution"] else ""
    return [*lines, "", f"{task['metric']}, {better} is better{power}{caution}."]


def _name(row: Json) -> str:
    name = str(row["model"]).replace("|", "\\|")
    return f"{name} (baseline)" if row["baseline"] else f"**{name}**"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _between(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{figures(low)} to {figures(high)}"
