"""The table of tasks that ship: what each is, where its data is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.find import Piece, find_file, pieces_of, where_to_put
from bioeval.tasks.loader import read_task, task_names


def describe_tasks() -> list[dict[str, Any]]:
    """One dict for each task of the package.

    Returns:
        name, title, note (what is wrong with it), kind, alphabet, unit, metric, split (how), licence, data
        (where the file is, None where it is not) and get (how to get it then).
    """
    rows = []
    for name in task_names():
        config, path = read_task(name)
        place = _place(config, path.parent)
        rows.append({
            "name": name, "title": config.title, "note": config.note, "kind": config.kind,
            "alphabet": config.alphabet, "unit": config.unit, "metric": config.metric,
            "split": config.way if config.way != "none" else "none, all rows are test rows",
            "licence": config.licence, "data": place, "checked": config.data.sha256 is not None,
            "get": None if place else where_to_put(config.data, pieces_of(config)[0]),
        })  # fmt: skip
    return rows


def _place(config: TaskConfig, beside: Path) -> str | None:
    """Where the first file of a task is, if all of them are there."""
    try:
        found = [find_file(config.data, beside=beside, piece=p, download=False) for p in pieces_of(config)]
        if config.data.genome:
            find_file(config.data, beside=found[0].parent, piece=Piece(file=config.data.genome, url=None))
    except ConfigError:
        return None
    return str(found[0])


def tasks_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of `describe_tasks` for people: tasks of one file together, with defects and licence."""
    families: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        families.setdefault(row["name"].split(":")[0], []).append(row)
    blocks = []
    for name, members in families.items():
        first = members[0]
        several = [row["name"].split(":")[1] for row in members if ":" in row["name"]]
        title = first["title"].replace(several[0], "NAME") if several else first["title"]
        lines = [f"{name}:NAME" if several else name, f"  {title}",
                 f"  {first['kind']}, {first['alphabet']} by {first['unit']}, {first['metric']}, "
                 f"split: {first['split']}"]  # fmt: skip
        if several:
            lines.append(f"  NAME: {', '.join(several)}")
        lines += [f"  beware: {first['note']}", f"  licence: {first['licence']}",
                  f"  data: {first['data'] or first['get']}"]  # fmt: skip
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
