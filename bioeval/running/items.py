"""What is scored of a task: its rows, or of a token task their labelled positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from biodata.errors import DataError
from biodata.files import fingerprint
from biodata.schema import SPLITS
from bioeval.scores import LEAST_ROWS
from bioeval.tasks import Task
from bioeval.tasks.contact_rules import separation_of

UNTRAINED = ("zero-shot", "retrieval", "clustering")
"""Kinds of tasks that nothing is fitted for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The items of a split, in file order.

    Attributes:
        ids: of each, all different; positions of a row are `ID:1`, `ID:2`, ...
        y: targets, as `bioeval.protocols.Part` has them.
        groups: what is drawn together in the bootstrap, `None` for single items.
        row: int64, row of the split that each belongs to.
        truth: hash of what `y` does not hold of the targets (contacts), else empty.
    """

    ids: tuple[str, ...]
    y: np.ndarray
    groups: tuple[str, ...] | None
    row: np.ndarray
    truth: str = ""

    def kept(self, keep: np.ndarray) -> Items:
        """The items where `keep` is true."""
        at = np.flatnonzero(keep)
        groups = None if self.groups is None else tuple(self.groups[i] for i in at)
        ids = tuple(self.ids[i] for i in at)
        return replace(self, ids=ids, y=self.y[at], groups=groups, row=self.row[at])


def items_of(task: Task, split: str) -> Items:
    """The items of a split of a task."""
    names = _different([str(name) for name in task.rows(split).column("id").to_pylist()])
    groups, y = task.groups(split), task.values(split)
    if task.kind != "token":
        known = None if groups is None else tuple(map(str, groups))
        return Items(ids=tuple(names), y=y, groups=known, row=np.arange(len(y)), truth=_truth(task, split))
    row, kept = task.token_rows(split), labelled(y)
    place = np.arange(len(row)) - np.flatnonzero(np.r_[True, row[1:] != row[:-1]])[_code(row)]
    together = names if groups is None else list(map(str, groups))
    ids = tuple(f"{names[r]}:{p + 1}" for r, p in zip(row[kept], place[kept]))
    return Items(ids=ids, y=y[kept], groups=tuple(together[r] for r in row[kept]), row=row[kept])


def _truth(task: Task, split: str) -> str:
    if task.kind != "contacts":
        return ""
    columns = task.rows(split).select(["contacts", "unknown"])
    return fingerprint([separation_of(task.config), columns.to_pylist()])


def labelled(y: np.ndarray) -> np.ndarray:
    """Which positions of a token task have a label.

    >>> labelled(np.array([0, -1, 2])).tolist()
    [True, False, True]
    """
    return np.isfinite(y) if y.dtype.kind == "f" else y >= 0


def untrained_items(task: Task, items: Items) -> int:
    """Test items of a class that no train row has, which no probe can predict; 0 where nothing is fitted.

    Args:
        task: its train rows.
        items: of test.
    """
    if target_of(task) != "class" or task.kind in UNTRAINED:
        return 0
    return int((~np.isin(items.y, task.values("train"))).sum())


def target_of(task: Task) -> str:
    """`number`, `class` or `labels`, as `bioeval.protocols.Part.target`."""
    if task.kind == "multi-label":
        return "labels"
    return "class" if task.classes else "number"


def check_targets(task: Task) -> None:
    """Refuses a task that nothing can be learned from or scored on.

    Raises:
        DataError: naming task, split and what is wrong.
    """
    if task.kind == "contacts":
        from bioeval.running.contacts import check_structures

        return check_structures(task)
    splits = ("test",) if task.kind in UNTRAINED else SPLITS
    for split in splits:
        y = items_of(task, split).y
        where = f"task {task.name}"
        if len(y) < LEAST_ROWS:
            raise DataError(f"{len(y)} {split} items, at least {LEAST_ROWS} are needed", where=where)
        if y.ndim == 1 and not np.isfinite(y).all():
            row = int(np.argmin(np.isfinite(y)))
            raise DataError(f"{split} target {row + 1} is {y[row]}, a finite number expected", where=where)
        if not _varies(y):
            shown = _shown(task, y)
            raise DataError(f"all {len(y)} {split} targets are {shown}: nothing to predict", where=where)


def _varies(y: np.ndarray) -> bool:
    columns = y.T if y.ndim == 2 else y[None]
    return any(len(np.unique(c[np.isfinite(c)])) > 1 for c in columns)


def _shown(task: Task, y: np.ndarray) -> str:
    if y.ndim == 2:
        return "alike in every label"
    return repr(task.classes[int(y[0])]) if task.classes else f"{y[0]:g}"


def _different(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def _code(row: np.ndarray) -> np.ndarray:
    return np.cumsum(np.r_[False, row[1:] != row[:-1]])
