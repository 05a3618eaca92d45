"""Writes a leaderboard: one HTML file, with its JSON and Markdown twins beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import biodata
from biodata.files import write_json, write_text
from bioeval.leaderboard.board import make_board
from bioeval.leaderboard.config import LeaderboardConfig
from bioeval.leaderboard.entries import read_entries
from bioeval.leaderboard.markdown import overall_lines, render_markdown
from bioeval.leaderboard.page import render_page


def build_leaderboard(config: LeaderboardConfig) -> dict[str, Any]:
    """Makes the board of all results and writes it three times.

    Args:
        config: what stands on it and where it goes.

    Returns:
        The board with `path`, `json` and `markdown`, the files.

    Raises:
        DataError: a file that does not fit, or results on different items.
    """
    board = make_board(read_entries(config.inputs), config.resampling())
    board = {"title": config.title, **board, "versions": {"seqloom": biodata.__version__}}
    write_json(config.twin(".json"), board)
    write_text(config.twin(".md"), render_markdown(board, title=config.title))
    write_text(config.out, render_page(board, title=config.title))
    paths = {"path": config.out, "json": config.twin(".json"), "markdown": config.twin(".md")}
    return {**{k: str(v) for k, v in paths.items()}, **board}


def in_short(result: Mapping[str, Any]) -> str:
    """The table over all tasks and where the files are, for people.

    Args:
        result: of `build_leaderboard`.
    """
    files = ", ".join(result[k] for k in ("path", "json", "markdown"))
    return "\n".join([*overall_lines(result), "", f"written: {files}"])
