"""Targets of contact tasks: which residues of a sequence touch, and of which nothing is known.

Read are pairs (texts `3-27 5-40` or `[[3, 27], [5, 40]]`, lists of pairs in Parquet or JSON lines) and
dot-bracket notation of secondary structure, pseudoknots included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.contact_rules import rules_of, separation_of
from bioeval.tasks.rows import Book, Rows
from bioeval.tasks.targets import MISSING, Targets, value_column
from bioeval.tasks.token_targets import units_in

if TYPE_CHECKING:
    from bioeval.tasks.task import Task

UNKNOWN = "unknown"
"""Column of unknown residues where the reader of a format finds them itself."""
_BETWEEN = re.compile(r"[\s,;]+")
_PAIR = re.compile(r"(\d+)-(\d+)")
_OPEN, _CLOSE, _FREE = "([{<", ")]}>", ".-_:,~"


@dataclass(frozen=True, slots=True)
class Structure:
    """What is known of one sequence.

    Attributes:
        known: bool `[units]`, residues whose place is known.
        contacts: int64 `[n, 2]`, pairs i < j in contact, counted from 0.
        separation: least |i - j| that counts.
    """

    known: np.ndarray
    contacts: np.ndarray
    separation: int

    @property
    def length(self) -> int:
        """Residues of known place."""
        return int(self.known.sum())

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """i, j of every pair that counts, i rising, then j; and whether it is a contact."""
        n = len(self.known)
        i, j = np.triu_indices(n, k=self.separation)
        inside = self.known[i] & self.known[j]
        i, j = i[inside], j[inside]
        touching = np.zeros((n, n), bool)
        touching[self.contacts[:, 0], self.contacts[:, 1]] = True
        return i, j, touching[i, j]


def structures_of(task: Task, split: str) -> list[Structure]:
    """What is known of every sequence of a split."""
    rows, least = task.rows(split), separation_of(task.config)
    found = []
    for sequence, flat, unknown in zip(
        *(rows.column(n).to_pylist() for n in ("sequence", "contacts", UNKNOWN))
    ):
        known = np.ones(units_in(sequence, task.width), bool)
        known[np.array(unknown, np.int64)] = False
        found.append(Structure(known, np.array(flat, np.int64).reshape(-1, 2), least))
    return found


def contact_targets(rows: Rows, sequences: pa.ChunkedArray, config: TaskConfig, book: Book) -> Targets:
    """Contacts at least `separation` apart and unknown residues of every row, counted from 0.

    Args:
        rows: what the files hold.
        sequences: of all rows.
        config: notation, number of the first residue.
        book: takes rows without contacts in the column (`no-target`); an empty list is no contact at all.

    Raises:
        DataError: a pair that cannot be read or is outside of the sequence, with file and line.
    """
    rules, name = rules_of(config), value_column(config)
    column, width = rows.column(name), 3 if config.unit == "codon" else 1
    # Lists of many pairs stay in Arrow, row by row.
    cells = column.to_pylist() if pa.types.is_large_string(column.type) else list(column)
    book.leave_out("no-target", np.array([_is_missing(c) for c in cells], bool), f"column {name!r} is empty")
    texts = sequences.to_pylist()
    if rules.longest:
        long = np.array([units_in(text, width) > rules.longest for text in texts], bool)
        book.drop("too-long", long, f"more than {rules.longest} residues")
    structures = config.data.format == "structures"
    hidden = UNKNOWN if structures else rules.unknown
    unknowns = [None] * len(cells) if hidden is None else rows.column(hidden).to_pylist()
    first = 0 if structures else rules.first or 0
    read = _Cells(rows, width, first, rules.notation == "dot-bracket", separation_of(config))
    contacts, without = ([np.zeros(0, np.int32)] * len(cells) for _ in range(2))
    for row in np.flatnonzero(book.kept).tolist():
        contacts[row], without[row] = read.row(cells[row], unknowns[row], texts[row], row)
    total, kind = int(sum(map(len, without))), pa.list_(pa.int32())
    return Targets(columns={"contacts": pa.array(contacts, kind), UNKNOWN: pa.array(without, kind)},
                   notes={"residues_without_place": total} if total else {})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Cells:
    """Reads the cells of a table.

    Attributes:
        rows: for messages.
        width: letters of a unit.
        first: number of the first residue.
        brackets: whether contacts are dot-bracket notation.
        separation: least |i - j| that is kept.
    """

    rows: Rows
    width: int
    first: int
    brackets: bool
    separation: int

    def row(self, cell: Any, unknown: Any, sequence: str, row: int) -> tuple[np.ndarray, np.ndarray]:
        """i and j of each contact in turn, and the residues without a place, both int32 and from 0."""
        without, pairs = self.unknown(unknown, sequence, row), self.contacts(cell, sequence, row)
        self.check_known(pairs, without, row)
        pairs = pairs[pairs[:, 1] - pairs[:, 0] >= self.separation]
        return np.unique(pairs, axis=0).astype(np.int32).ravel(), without

    def contacts(self, cell: Any, sequence: str, row: int) -> np.ndarray:
        """int64 `[n, 2]`, i <= j."""
        units = units_in(sequence, self.width)
        if self.brackets:
            return _of_brackets(str(cell), units, self.rows, row)
        pairs = self._pairs(cell, row)
        outside = ((pairs < self.first) | (pairs >= self.first + units)).any(1)
        if outside.any():
            i, j = pairs[int(np.argmax(outside))].tolist()
            raise DataError(f"contact {i}-{j} in a sequence of {units}", where=self.rows.where(row),
                            hint=f"residues are counted from {self.first}")  # fmt: skip
        return np.sort(pairs - self.first, axis=1)

    def unknown(self, cell: Any, sequence: str, row: int) -> np.ndarray:
        """int32, residues without a place."""
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return np.zeros(0, np.int32)
        texts = _BETWEEN.split(cell.strip()) if isinstance(cell, str) else [str(value) for value in cell]
        wrong = next((text for text in texts if not text.isdigit()), None)
        if wrong is not None:
            raise DataError(f"unknown residue {wrong[:40]!r}, a number expected", where=self.rows.where(row))
        found = np.array(texts, np.int64) - self.first
        units = units_in(sequence, self.width)
        if len(found) and (found.min() < 0 or found.max() >= units):
            raise DataError(f"unknown residue outside of a sequence of {units}", where=self.rows.where(row),
                            hint=f"residues are counted from {self.first}")  # fmt: skip
        return np.unique(found).astype(np.int32)

    def check_known(self, pairs: np.ndarray, unknown: np.ndarray, row: int) -> None:
        """Refuses a contact of a residue that has no place."""
        wrong = np.isin(pairs, unknown).any(1)
        if wrong.any():
            i, j = (pairs[int(np.argmax(wrong))] + self.first).tolist()
            raise DataError(f"contact {i}-{j} has a residue that is unknown", where=self.rows.where(row))

    def _pairs(self, cell: Any, row: int) -> np.ndarray:
        if isinstance(cell, str):
            return self._of_text(cell, row)
        values = cell.values
        if pa.types.is_nested(values.type):
            flat = values.flatten()
            if len(flat) != 2 * len(values) or flat.null_count:
                raise DataError("a contact that is no pair [i, j]", where=self.rows.where(row))
            return flat.to_numpy(zero_copy_only=False).astype(np.int64).reshape(-1, 2)
        return self._of_texts(values.to_pylist(), row)

    def _of_text(self, text: str, row: int) -> np.ndarray:
        if not text.lstrip().startswith("["):
            return self._of_texts(_BETWEEN.split(text.strip()), row)
        try:
            found = np.array(json.loads(text))
            if found.size and (found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind != "i"):
                raise ValueError("not pairs")
        except ValueError as error:
            raise DataError(f"contacts {text[:40]!r}, pairs [[i, j], ...] expected",
                            where=self.rows.where(row)) from error  # fmt: skip
        return found.reshape(-1, 2).astype(np.int64)

    def _of_texts(self, texts: Sequence[str | None], row: int) -> np.ndarray:
        found = [_PAIR.fullmatch(text or "") for text in texts]
        if None in found:
            wrong = str(texts[found.index(None)])
            raise DataError(f"contact {wrong[:40]!r}, I-J expected", where=self.rows.where(row))
        return np.array([match.groups() for match in found if match], np.int64).reshape(-1, 2)


def _of_brackets(text: str, units: int, rows: Rows, row: int) -> np.ndarray:
    """Pairs of dot-bracket notation: `()`, `[]`, `{}`, `<>`, and `Aa` to `Zz` for pseudoknots."""
    text = text.strip()
    if len(text) != units:
        raise DataError(f"{len(text)} symbols of structure for {units} nucleotides", where=rows.where(row))
    waiting: dict[str, list[int]] = {}
    pairs = []
    for place, symbol in enumerate(text):
        if symbol in _OPEN or "A" <= symbol <= "Z":
            waiting.setdefault(symbol, []).append(place)
        elif symbol in _CLOSE or "a" <= symbol <= "z":
            opened = waiting.get(_OPEN[_CLOSE.index(symbol)] if symbol in _CLOSE else symbol.upper())
            if not opened:
                raise DataError(f"symbol {place + 1}, {symbol!r}, closes nothing", where=rows.where(row))
            pairs.append((opened.pop(), place))
        elif symbol not in _FREE:
            raise DataError(f"symbol {place + 1}, {symbol!r}, is no dot-bracket", where=rows.where(row))
    left = next((places[-1] for places in waiting.values() if places), None)
    if left is not None:
        raise DataError(f"symbol {left + 1}, {text[left]!r}, is never closed", where=rows.where(row))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _is_missing(cell: Any) -> bool:
    if isinstance(cell, pa.Scalar):
        return not cell.is_valid
    return cell is None or cell.strip().lower() in MISSING
