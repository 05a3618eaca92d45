"""Paths in a recipe: relative to its file, to the working directory (settings), to the folder of the run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from biodata.fetch.names import is_source_name

Change = Callable[[str], str]

_ONE = (
    "data.read.labels", "data.read.exclusion.deny_sequences", "data.read.exclusion.taxonomy",
    "train.init_from", "train.loss.tree", "evaluate.data", "evaluate.pretraining", "evaluate.cache",
    "sequences.canaries",
)  # fmt: skip
_NONE = ("none", "null", "~", "")
_TASK_FILE = re.compile(r"\.ya?ml(:[^/]*)?$")


def make_absolute(values: MutableMapping[str, Any], folder: Path) -> None:
    """Turns relative paths into absolute ones, in place, so that another working directory changes nothing.

    Args:
        values: content of a recipe, by section.
        folder: what they are relative to.
    """
    _change_paths(values, lambda path: os.path.abspath(folder / path))


def make_relative(values: MutableMapping[str, Any], folder: Path) -> None:
    """Turns absolute paths into paths from `folder`, in place: a recipe to be run from there."""
    real = os.path.realpath(folder)
    _change_paths(values, lambda path: os.path.relpath(path, real))


def listed(value: Any) -> Any:
    """A list given as text, its parts between commas; anything else as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.strip().strip("[]()").split(",") if part.strip()]
    return value


def _change_paths(values: MutableMapping[str, Any], change: Change) -> None:
    for name in _ONE:
        _change(values, name, lambda value: value if str(value).lower() in _NONE else change(str(value)))
    _change(values, "data.read.inputs", lambda value: _each(value, is_source_name, change))
    _change(values, "evaluate.tasks", lambda value: _each(value, _is_task_name, change))


def _each(value: Any, is_name: Callable[[str], bool], change: Change) -> Any:
    value = listed(value)
    if not isinstance(value, (list, tuple)):
        return value
    return [change(text) if isinstance(text, str) and not is_name(text) else text for text in value]


def _change(values: MutableMapping[str, Any], path: str, change: Callable[[Any], Any]) -> None:
    *levels, last = path.split(".")
    group: Any = values
    for level in levels:
        group = group.get(_spelt(group, level))
        if not isinstance(group, MutableMapping):
            return
    key = _spelt(group, last)
    if group.get(key) is not None:
        group[key] = change(group[key])


def _is_task_name(text: str) -> bool:
    return not _TASK_FILE.search(text)


def _spelt(group: MutableMapping[str, Any], name: str) -> str:
    """The name as the group spells it: keys may have `-` for `_`."""
    return next((key for key in group if str(key).replace("-", "_") == name), name)
