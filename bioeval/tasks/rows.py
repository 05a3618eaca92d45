"""Rows of a task as its files have them, where each stands, and the book of those that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.curate.rules import RuleLog
from biodata.errors import DataError

SPLIT, CLASS = "{split}", "{class}"
"""Columns of what stood for `{split}` and `{class}` in the name of a row's file."""
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the files of a task hold.

    Attributes:
        table: a column for each that was asked for: texts, or lists of texts where the file has lists.
        files: names of the files, for messages.
        file_of: int64 index into `files` of every row.
        lines: int64 line (Parquet: row) of every row, counted from 1.
        digest: SHA-256 of the plain files.
        log: what a reader left out or changed before.
    """

    table: pa.Table
    files: tuple[str, ...]
    file_of: np.ndarray
    lines: np.ndarray
    digest: str = ""
    log: RuleLog | None = None

    def where(self, row: int) -> str:
        """File and line of a row."""
        return f"{self.files[int(self.file_of[row])]}:{int(self.lines[row])}"

    def column(self, name: str) -> pa.ChunkedArray:
        """A column, whatever it holds.

        Raises:
            DataError: there is none; lists those there are.
        """
        if name not in self.table.column_names:
            names = self.table.column_names
            shown = ", ".join(names[:_SHOWN]) + (
                f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            )
            raise DataError(f"no column {name!r}", where=self.files[0], hint=f"columns: {shown}")
        return self.table.column(name)

    def texts(self, name: str) -> pa.ChunkedArray:
        """A column of texts, an empty text being null.

        Raises:
            DataError: there is no such column, or it holds lists.
        """
        column = self.column(name)
        if not pa.types.is_large_string(column.type):
            raise DataError(f"column {name!r} holds {column.type}, texts expected", where=self.files[0])
        return pc.if_else(pc.equal(column, ""), None, column)  # pyright: ignore[reportAttributeAccessIssue]


def stacked(parts: Sequence[Rows], digest: str) -> Rows:
    """The rows of several files, one after the other; columns that a file lacks are empty there."""
    files = tuple(name for part in parts for name in part.files)
    before = np.cumsum([0, *(len(part.files) for part in parts)])
    log = RuleLog()
    for part in parts:
        if part.log is not None:
            log.merge(part.log)
    return Rows(
        table=pa.concat_tables([part.table for part in parts], promote_options="default"),
        files=files,
        file_of=np.concatenate([part.file_of + n for part, n in zip(parts, before)]),
        lines=np.concatenate([part.lines for part in parts]),
        digest=digest,
        log=log,
    )


class Book:
    """Which rows are left out and why; a row counts for the first rule that it breaks.

    Args:
        rows: the rows of the task.
        refuse: whether such a row is an error instead.
    """

    def __init__(self, rows: Rows, *, refuse: bool) -> None:
        self.rows, self.refuse = rows, refuse
        self.kept = np.ones(rows.table.num_rows, dtype=bool)
        self.log = RuleLog()
        if rows.log is not None:
            self.log.merge(rows.log)
        self._before = sum(self.log.as_dict()["dropped"].values())

    def leave_out(
        self, rule: str, wrong: np.ndarray, what: str, *, details: Sequence[str] | None = None
    ) -> None:
        """Leaves rows out.

        Args:
            rule: its name.
            wrong: bool for each row.
            what: what is the matter with them, for people.
            details: of each row where they differ.

        Raises:
            DataError: there are some, and the task file does not say `missing: drop`.
        """
        at = np.flatnonzero(wrong & self.kept)
        if not len(at):
            return
        text = what if details is None else f"{what}: {details[at[0]]}"
        if self.refuse:
            hint = f"{len(at)} such rows; 'missing: drop' leaves them out, counted and listed"
            raise DataError(text, where=self.rows.where(int(at[0])), hint=hint)
        self.drop(rule, wrong, what, details=details)

    def drop(self, rule: str, wrong: np.ndarray, what: str, *, details: Sequence[str] | None = None) -> None:
        """Leaves rows out because the task file says so.

        Args:
            rule: under which they are counted.
            wrong: which rows, bool `[n]`.
            what: is wrong with them, for the list.
            details: of every row, added to `what`.
        """
        at = np.flatnonzero(wrong & self.kept)
        self.kept[at] = False
        for number, name in enumerate(self.rows.files):
            mine = at[self.rows.file_of[at] == number]
            self.log.file = Path(name).name
            texts = what if details is None else [f"{what}: {details[row]}" for row in mine]
            lines = self.rows.lines[mine].tolist()
            self.log.drop(rule, [str(line) for line in lines], lines=lines, detail=texts)

    def notes(self) -> dict[str, int | str]:
        """Rows changed, rows read and rows left out by rule, where there are any."""
        counts = self.log.as_dict()
        notes: dict[str, int | str] = {rule: n for rule, n in counts["changed"].items()}
        if not counts["dropped"]:
            return notes
        return {"rows_read": len(self.kept) + self._before, **notes,
                **{f"left_out_{rule}": n for rule, n in counts["dropped"].items()}}  # fmt: skip
