"""The targets of a task, by kind: numbers, classes, several labels, or one for every unit."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from biodata.errors import ConfigError, DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.rows import CLASS, Book, Rows

MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""Texts, whatever their case, that are no target."""
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Columns of the task's table, one value a row of the file, and the names of the classes."""

    columns: dict[str, pa.Array]
    classes: tuple[str, ...] = ()
    notes: dict[str, int | str] = field(default_factory=dict)


def targets_of(rows: Rows, config: TaskConfig, book: Book) -> Targets:
    """The targets of all rows but those of token tasks; rows without one are left out by the book.

    Args:
        rows: of the file.
        config: says what a target is and where it stands.
        book: where rows that are left out are counted.

    Raises:
        DataError: a target that cannot be read as what the task says, with file and line.
    """
    if config.kind == "multi-label":
        return _labels(rows, config, book)
    if config.negatives:
        return Targets(
            columns={"label": pa.array(np.ones(rows.table.num_rows, np.int64))}, classes=("0", "1")
        )
    texts = _texts(rows, config)
    missing = np.array([text is None or text.strip().lower() in MISSING for text in texts], bool)
    book.leave_out("no-target", missing, f"column {value_column(config)!r} is empty")
    if not config.by_class:
        numbers = _numbers(texts, rows, config, book)
        return Targets(columns={"value": pa.array(numbers)})
    return _classes(texts, rows, config, book)


def value_column(config: TaskConfig) -> str:
    """Name of the column of the target."""
    by_file = "{class}" in (config.data.file or "")
    return CLASS if by_file else config.columns.value


def _texts(rows: Rows, config: TaskConfig) -> list[str | None]:
    name = value_column(config)
    column = rows.texts(name)
    if not config.extract:
        return column.to_pylist()
    try:
        pattern = re.compile(config.extract)
    except re.error as error:
        raise ConfigError(f"extract {config.extract!r} is no regular expression: {error}") from error
    if pattern.groups < 1:
        raise ConfigError(f"extract {config.extract!r} has no group: put (...) around the value")
    found = [None if text is None else pattern.search(text) for text in column.to_pylist()]
    return [match and match.group(1) for match in found]


def _numbers(texts: list[str | None], rows: Rows, config: TaskConfig, book: Book) -> np.ndarray:
    log, name = config.transform == "log1p", config.columns.value
    values = np.zeros(len(texts))
    for row in np.flatnonzero(book.kept).tolist():
        values[row] = _number(texts[row] or "", name, rows, row)
    wrong = (~np.isfinite(values) | (log & (values <= -1))) & book.kept
    if wrong.any():
        row = int(np.argmax(wrong))
        wanted = "a finite number above -1" if log else "a finite number"
        raise DataError(f"{name} is {values[row]}, {wanted} expected", where=rows.where(row))
    return np.log1p(np.where(book.kept, values, 0.0)) if log else values


def _number(text: str, name: str, rows: Rows, row: int) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{name} is {text[:40]!r}, a number expected", where=rows.where(row)) from error


def _classes(texts: list[str | None], rows: Rows, config: TaskConfig, book: Book) -> Targets:
    plain = _plain([None if text is None else text.strip() for text in texts], book)
    counts = Counter(text for text, keep in zip(plain, book.kept) if keep)
    if config.classes:
        _check_known(plain, rows, config, book)
    if config.least:
        rare = {name for name, n in counts.items() if n < config.least}
        wrong = np.array([text in rare for text in plain], bool)
        book.drop("rare-class", wrong, f"a class of fewer than {config.least} rows")
        counts = Counter({name: n for name, n in counts.items() if name not in rare})
    names = tuple(config.classes) or tuple(sorted((str(name) for name in counts), key=_order))
    index = {name: number for number, name in enumerate(names)}
    labels = np.array([index.get(str(text), -1) for text in plain], np.int64)
    return Targets(columns={"label": pa.array(labels)}, classes=names)


def _plain(texts: list[str | None], book: Book) -> list[str | None]:
    """Classes written as `1.0` are called `1` where all are whole numbers."""
    whole = all(re.fullmatch(r"[+-]?\d+(\.0*)?", text or "") for text, keep in zip(texts, book.kept) if keep)
    return (
        [text and str(int(float(text))) if keep else text for text, keep in zip(texts, book.kept)]
        if whole
        else texts
    )


def _check_known(plain: list[str | None], rows: Rows, config: TaskConfig, book: Book) -> None:
    known = set(config.classes)
    for row in np.flatnonzero(book.kept).tolist():
        if plain[row] not in known:
            raise DataError(f"class {plain[row]!r}", where=rows.where(row),
                            hint=f"classes of the task: {', '.join(config.classes)}")  # fmt: skip


def _order(name: str) -> tuple[float, str]:
    return (float(name), name) if re.fullmatch(r"[+-]?\d+", name) else (float("inf"), name)


def _labels(rows: Rows, config: TaskConfig, book: Book) -> Targets:
    names = config.columns.values
    matrix = np.full((rows.table.num_rows, len(names)), np.nan)
    for at, name in enumerate(names):
        texts = rows.texts(name).to_pylist()
        for row in np.flatnonzero(book.kept).tolist():
            matrix[row, at] = _label(texts[row], name, rows, row)
    none = np.asarray(np.isnan(matrix).all(axis=1))
    book.leave_out("no-target", none, "no label is measured")
    missing = int(np.isnan(matrix[book.kept]).sum())
    column = pa.array(list(matrix), pa.list_(pa.float64()))
    notes: dict[str, int | str] = {"labels_not_measured": missing} if missing else {}
    return Targets(columns={"labels": column}, classes=names, notes=notes)


def _label(text: str | None, name: str, rows: Rows, row: int) -> float:
    plain = (text or "").strip().lower()
    if plain in MISSING:
        return np.nan
    if plain in _YES or plain in _NO:
        return float(plain in _YES)
    raise DataError(f"{name} is {plain[:40]!r}, 0, 1 or empty expected", where=rows.where(row))
