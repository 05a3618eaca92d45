"""A task: sequences with targets and a split, and what its file says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from biodata.curate.rules import LISTING_SCHEMA
from biodata.errors import DataError
from biodata.files import fingerprint
from biodata.schema import SPLITS
from bioeval.scores import LEAST_ROWS
from bioeval.tasks.config import UNSPLIT, Columns, Source, TaskConfig
from bioeval.tasks.contact_rules import separation_of

__all__ = ["TASK_SCHEMA", "Columns", "Source", "Task", "TaskConfig"]

TASK_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.large_string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("group", pa.string()),
    ]
)
"""Columns that every task has. Beside them, by kind: `value` (float64), `label` (int64 index into the
classes), `labels` (list of float64, NaN for not measured), `tokens` (list of int64, -1 for no label) or
`token_values` (list of float64, NaN for no label); `contacts` (list of int32, i and j of each in turn) and
`unknown` (list of int32, residues of no known place); `second` (pairs); `reference` and `mutant`
(zero-shot)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A loaded task.

    Attributes:
        config: its file.
        table: columns of `TASK_SCHEMA` and those of its kind; every row has a split.
        alphabet: of the sequences.
        notes: counts worth stating, for example rows without a whole number of codons.
        classes: names of the classes, or of the labels of a multi-label task; empty for numbers.
        dropped: the rows that were left out and why, `LISTING_SCHEMA`.
    """

    config: TaskConfig
    table: pa.Table
    alphabet: str
    notes: Mapping[str, int | str]
    classes: tuple[str, ...] = ()
    dropped: pa.Table = field(default_factory=LISTING_SCHEMA.empty_table)

    @property
    def name(self) -> str:
        """Short name."""
        return self.config.name

    @property
    def kind(self) -> str:
        """What is predicted, of `bioeval.protocols.KINDS`."""
        return self.config.kind

    @property
    def metric(self) -> str:
        """Primary metric."""
        return self.config.metric

    @property
    def unit(self) -> str:
        """What is read as one symbol."""
        return self.config.unit

    @property
    def width(self) -> int:
        """Letters of one unit, 0 where units are tokens of SELFIES."""
        return {"codon": 3, "token": 0}.get(self.unit, 1)

    @property
    def second_alphabet(self) -> str:
        """Alphabet of the other sequence of a pair."""
        return self.config.second_alphabet or self.alphabet

    @property
    def fingerprint(self) -> str:
        """Hash of rows, splits and everything that decides the score."""
        c = self.config
        columns = {name: self.table.column(name).to_pylist() for name in sorted(self.table.column_names)}
        of_kind = [separation_of(c)] if self.kind == "contacts" else []
        return fingerprint([c.name, c.unit, c.metric, c.kind, self.alphabet, self.second_alphabet,
                            self.classes, columns, *of_kind])  # fmt: skip

    def splits(self) -> tuple[str, ...]:
        """The splits that have rows."""
        found = set(self.table.column("split").unique().to_pylist())
        return tuple(split for split in SPLITS if split in found)

    def rows(self, split: str) -> pa.Table:
        """The rows of a split, in file order."""
        mask = np.asarray(self.table.column("split").to_numpy(zero_copy_only=False) == split)
        return self.table.filter(pa.array(mask))

    def sequences(self, split: str) -> list[str]:
        """The sequences of a split."""
        return self.rows(split).column("sequence").to_pylist()

    def seconds(self, split: str) -> list[str] | None:
        """The other sequences of pairs, or the wild types of a zero-shot task; None where there are none."""
        found = self._texts(split, "second") or self._texts(split, "reference")
        return None if found is None else [str(text) for text in found]

    def mutants(self, split: str) -> list[str | None] | None:
        """Mutations as `A12G:D3N`, counted from 1, where the file of a zero-shot task has them."""
        return self._texts(split, "mutant")

    def values(self, split: str) -> np.ndarray:
        """Targets of a split.

        Returns:
            Numbers float64 `[n]`; classes int64 `[n]`, indices into `classes`; multi-label float64
            `[n, len(classes)]` with NaN for not measured; of token tasks the `token_values` one after the
            other; of contact tasks how many contacts count, float64 `[n]`.
        """
        rows = self.rows(split)
        if self.kind == "token":
            parts = self.token_values(split)
            return np.concatenate(parts) if parts else np.zeros(0)
        if self.kind == "contacts":
            return np.array([len(flat) / 2 for flat in rows.column("contacts").to_pylist()], np.float64)
        if self.kind == "multi-label":
            flat = rows.column("labels").combine_chunks().flatten().to_numpy(zero_copy_only=False)
            return flat.astype(np.float64).reshape(-1, len(self.classes))
        return rows.column("label" if self.classes else "value").to_numpy()

    def token_values(self, split: str) -> list[np.ndarray]:
        """Targets of a token task, one array for each row and in it one entry for each unit.

        Returns:
            int64 indices into `classes`, -1 for no label; without classes float64, NaN for no label.
        """
        column = self.rows(split).column("tokens" if self.classes else "token_values")
        return [row.values.to_numpy(zero_copy_only=False) for row in column]

    def token_rows(self, split: str) -> np.ndarray:
        """int64 index of the row within the split for every entry of `values` of a token task."""
        lengths = [len(row) for row in self.token_values(split)]
        return np.repeat(np.arange(len(lengths)), lengths)

    def groups(self, split: str) -> list[str] | None:
        """Group labels of a split, or `None` where the task has no groups."""
        column = self.rows(split).column("group")
        return None if column.null_count else column.to_pylist()

    def check(self) -> None:
        """Refuses a task whose splits cannot be used.

        Raises:
            DataError: an empty split or too few rows in it.
        """
        present = self.splits()
        wanted = ("test",) if self.kind in UNSPLIT else SPLITS
        for split in wanted:
            n = self.rows(split).num_rows if split in present else 0
            if n < LEAST_ROWS:
                hint = "label more records, or leave the task out"
                if split == "validation" and not n and self.config.way == "given":
                    hint = "validation: 0.1 takes a tenth of the train rows"
                raise DataError(f"{n} {split} rows, at least {LEAST_ROWS} are needed",
                                where=f"task {self.name}", hint=hint)  # fmt: skip

    def _texts(self, split: str, name: str) -> list[str | None] | None:
        if name not in self.table.column_names:
            return None
        return self.rows(split).column(name).to_pylist()
