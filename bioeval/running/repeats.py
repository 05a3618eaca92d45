"""Repeated splits of a task whose test set is small: the same rows, split anew by group."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from biodata.schema import SPLITS
from bioeval.running.answers import Asker, test_items
from bioeval.running.items import check_targets
from bioeval.scores import score
from bioeval.stats import corrected_interval
from bioeval.tasks import Task
from bioeval.tasks.splits import group_split


def resplit(task: Task, seed: int) -> Task:
    """The task with its rows split anew, shares as before; rows of a group and equal rows together."""
    column = task.table.column("split").to_pylist()
    fractions = [column.count(split) / len(column) for split in SPLITS]
    groups = task.table.column("group").to_pylist()
    splits = group_split(task.table.column("sequence").to_pylist(), groups, fractions=fractions, seed=seed)
    at = task.table.column_names.index("split")
    return replace(task, table=task.table.set_column(at, "split", pa.array(splits, pa.string())))


def repeated(
    asker: Asker, models: Mapping[str, Any], *, repeats: int, baselines: Container[str]
) -> dict[str, Any]:
    """Scores of models over repeated splits with an interval that knows that they overlap.

    Args:
        asker: of the task as it is split now.
        models: embedders by name.
        repeats: splits, at least 5.
        baselines: names of those whose vectors are not kept.

    Returns:
        By name what `bioeval.stats.RepeatedSplits.as_dict` says; `None` with a reason where a split cannot be
        used or a score is undefined.
    """
    tasks = [resplit(asker.task, 1 + asker.seed + n) for n in range(repeats)]
    sizes = [(task.rows("train").num_rows, task.rows("test").num_rows) for task in tasks]
    n_train, n_test = (int(np.mean(side)) for side in zip(*sizes))
    found: dict[str, Any] = {}
    for name, model in models.items():
        try:
            scores = [_scored(replace(asker, task=t), model, cached=name not in baselines) for t in tasks]
            found[name] = corrected_interval(scores, n_train=n_train, n_test=n_test).as_dict()
        except DataError as error:
            found[name] = {"mean": None, "lo": None, "hi": None, "reason": str(error)}
    return found


def _scored(asker: Asker, model: Any, *, cached: bool) -> float:
    check_targets(asker.task)
    run = asker.probed(model, cached=cached)
    return score(asker.task.metric, test_items(asker.task).y, run.predictions)
