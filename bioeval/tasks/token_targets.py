"""Targets of token tasks: one symbol or number for every unit of a sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.formats.fasta import MASK
from bioeval.tasks.rows import Book, Rows
from bioeval.tasks.targets import MISSING, Targets

_TOKEN = re.compile(r"\[[^\[\]\s]+\]|\.")


def token_targets(rows: Rows, sequences: pa.ChunkedArray, config: TaskConfig, book: Book) -> Targets:
    """The labels of every unit; a row without labels is left out by the book.

    Args:
        rows: what the files hold; the column of the target has a text (a symbol for each unit) or a list.
        sequences: of all rows.
        config: unit, classes, target.
        book: takes rows without labels (`no-target`).

    Raises:
        DataError: as many labels as units expected, with file and line.
    """
    lists = _lists(rows, config)
    missing = np.array([not symbols for symbols in lists], bool)
    book.leave_out("no-target", missing, f"column {config.columns.value!r} is empty")
    width = {"codon": 3, "token": 0}.get(config.unit, 1)
    masks = rows.texts(MASK).to_pylist() if MASK in rows.table.column_names else [None] * len(lists)
    texts = sequences.to_pylist()
    for row in np.flatnonzero(book.kept).tolist():
        units = units_in(texts[row], width)
        for what, found in (("labels", lists[row]), ("symbols of the mask", masks[row])):
            if found is not None and len(found) != units:
                raise DataError(
                    f"{len(found)} {what} for {units} units ({config.unit})", where=rows.where(row)
                )
    kept = [_masked(symbols, mask) if keep else [] for symbols, mask, keep in zip(lists, masks, book.kept)]
    return _classed(kept, rows, config) if config.by_class else _numbered(kept, rows, config)


def units_in(sequence: str, width: int) -> int:
    """Units of a sequence; a rest counts as one.

    Args:
        sequence: letters or SELFIES.
        width: letters of a unit, 0 for tokens of SELFIES.

    >>> units_in("ATGGC", 3), units_in("[C][=O]", 0)
    (2, 2)
    """
    return -(-len(sequence) // width) if width else len(_TOKEN.findall(sequence))


def _lists(rows: Rows, config: TaskConfig) -> list[Sequence[str | None] | None]:
    column = rows.column(config.columns.value)
    return column.to_pylist()  # texts are sequences of symbols as lists are


def _masked(symbols: Sequence[str | None] | None, mask: str | None) -> list[str | None]:
    known = symbols or []
    return [symbol if keep == "1" else None for symbol, keep in zip(known, mask or "1" * len(known))]


def _is_missing(symbol: str | None) -> bool:
    return symbol is None or symbol.strip().lower() in MISSING


def _classed(kept: list[list[str | None]], rows: Rows, config: TaskConfig) -> Targets:
    found = {symbol for symbols in kept for symbol in symbols if symbol is not None}
    names = config.classes or tuple(sorted(symbol for symbol in found if not _is_missing(symbol)))
    index = {name: number for number, name in enumerate(names)}
    unknown = sorted(found - set(names)) if config.classes else []
    if unknown:
        row = next(row for row, symbols in enumerate(kept) if unknown[0] in symbols)
        raise DataError(f"class {unknown[0]!r}", where=rows.where(row),
                        hint=f"classes of the task: {', '.join(names)}")  # fmt: skip
    tokens = [[index.get(symbol or "", -1) for symbol in symbols] for symbols in kept]
    without = sum(token < 0 for row in tokens for token in row)
    notes: dict[str, int | str] = {"units_without_label": without} if without else {}
    return Targets(
        columns={"tokens": pa.array(tokens, pa.list_(pa.int64()))}, classes=tuple(names), notes=notes
    )


def _numbered(kept: list[list[str | None]], rows: Rows, config: TaskConfig) -> Targets:
    values: list[list[float]] = []
    for row, symbols in enumerate(kept):
        try:
            values.append([np.nan if _is_missing(symbol) else float(str(symbol)) for symbol in symbols])
        except ValueError as error:
            raise DataError(
                f"{config.columns.value}: {error}, numbers expected", where=rows.where(row)
            ) from error
    without = int(sum(np.isnan(row).sum() for row in values if row))
    notes: dict[str, int | str] = {"units_without_label": without} if without else {}
    return Targets(columns={"token_values": pa.array(values, pa.list_(pa.float64()))}, notes=notes)
