"""Results of `eval run` as they lie in a folder: what was scored, and every prediction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import DataError
from biodata.files import fingerprint, read_json
from bioeval.results import predictions_path

_PREFIX = "prediction_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A model's result on a task with its predictions.

    Attributes:
        where: the Parquet file.
        result: the entry of `results.json`.
        ids: of the items, all different.
        groups: of each item, `None` where items are drawn one by one.
        y: measured values `[n]` or `[n, k]`.
        predictions: by name, the model first, then its baselines.
    """

    where: Path
    result: Mapping[str, Any]
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    y: np.ndarray
    predictions: Mapping[str, np.ndarray]

    @property
    def items(self) -> str:
        """Equal for results on the same items with the same measured values in the same groups."""
        return fingerprint([list(self.ids), list(self.groups or ()), self.y.tolist()])

    def reordered(self, ids: Sequence[str]) -> Stored:
        """The same in another order of items."""
        place = {name: i for i, name in enumerate(self.ids)}
        at = np.array([place[name] for name in ids], dtype=np.intp)
        return Stored(
            where=self.where, result=self.result, ids=tuple(ids),
            groups=None if self.groups is None else tuple(self.groups[i] for i in at), y=self.y[at],
            predictions={name: p[at] for name, p in self.predictions.items()},
        )  # fmt: skip


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The entries of a folder's `results.json`.

    Raises:
        DataError: there is none, or it is no results file.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise DataError("no results.json", where=folder, hint="a folder that `seqloom eval run --out` wrote")
    try:
        rows = read_json(path)["results"]
        known = [row for row in rows if isinstance(row["model"], str) and isinstance(row["task"], str)]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(f"no results file: {error!r}", where=path) from error
    if not known:
        raise DataError("no results in it", where=path, hint="seqloom eval run")
    return known


def read_predictions(folder: Path, result: Mapping[str, Any]) -> Stored:
    """The predictions of one result.

    Args:
        folder: of the results.
        result: an entry of its `results.json`.

    Raises:
        DataError: the file is not there or is no file of predictions.
    """
    path = predictions_path(folder, result["model"], result["task"])
    if not path.is_file():
        raise DataError("no predictions", where=path, hint="the same eval run makes them again")
    try:
        table = pq.read_table(path)
        ids = tuple(map(str, table.column("id").to_pylist()))
        groups = table.column("group").to_pylist()
        y, own = _array(table.column("y")), _array(table.column("prediction"))
    except (pa.ArrowInvalid, KeyError, ValueError, OSError) as error:
        raise DataError(f"no file of predictions: {error}", where=path) from error
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"item {twice!r} occurs twice", where=path)
    others = {
        name.removeprefix(_PREFIX): _array(table.column(name))
        for name in table.column_names
        if name.startswith(_PREFIX)
    }
    return Stored(
        where=path, result=result, ids=ids, y=y, predictions={result["model"]: own, **others},
        groups=None if None in groups else tuple(map(str, groups)),
    )  # fmt: skip


def difference_between(a: Stored, b: Stored) -> str:
    """How the items of two results differ, one phrase; empty where they are the same in any order.

    Args:
        a: one result.
        b: another of the same task.
    """
    known = set(a.ids), set(b.ids)
    missing = [[name for name in x.ids if name not in ids] for x, ids in ((a, known[1]), (b, known[0]))]
    if any(missing):
        parts = [
            f"{len(names)} only in {x.where.parent.parent} (first {names[0]!r})"
            for names, x in zip(missing, (a, b))
            if names
        ]
        return f"{len(a.ids)} and {len(b.ids)} items, " + ", ".join(parts)
    b = b.reordered(a.ids)
    if a.y.shape != b.y.shape:
        return f"targets of {a.y.shape} and of {b.y.shape}"
    other = ~((a.y == b.y) | ((a.y != a.y) & (b.y != b.y))).reshape(len(a.ids), -1).all(1)
    if other.any():
        i = int(other.argmax())
        return f"{other.sum()} items measured otherwise, first {a.ids[i]!r}: {a.y[i]} and {b.y[i]}"
    if a.groups != b.groups:
        return "the same items in other groups"
    return ""


def _array(column: pa.ChunkedArray) -> np.ndarray:
    """`[n]` of numbers, or `[n, k]` of lists of one length."""
    if not pa.types.is_list(column.type):
        return column.to_numpy()
    rows = column.to_pylist()
    return np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
