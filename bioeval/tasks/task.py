"""A task: labelled sequences with a split, and what its file says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from biodata.alphabet import get_alphabet
from biodata.errors import ConfigError, DataError
from biodata.files import fingerprint
from biodata.schema import SPLITS
from bioeval.scores import LEAST_ROWS, SCORES

TASK_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.large_string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("group", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where a task file says the columns of its table are.

    Attributes:
        sequence: column of the sequence.
        value: column of the measured value.
        split: column of the split.
        group: column of the group (gene, family); its rows stay together in splits and in the bootstrap.
        id: column of the identifier; without it rows are named by their line.
    """

    sequence: str = "Sequence"
    value: str = "Value"
    split: str | None = None
    group: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the data of a task is: a table (`file`) or a dataset of seqloom (`dataset` and `label`).

    Attributes:
        file: name of a CSV file, looked for in the cache and in `SEQLOOM_REAL_DATA`, or a path beside the
            task file.
        url: where that file can be downloaded.
        home: page that tells how to get it where there is no direct address.
        sha256: of the plain (decompressed) file, checked when given.
        dataset: folder of a dataset, relative to the task file.
        label: name in its column `labels`.
    """

    file: str | None = None
    url: str | None = None
    home: str | None = None
    sha256: str | None = None
    dataset: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.dataset is None):
            raise ConfigError("'data' needs either 'file' or 'dataset'")
        if (self.dataset is None) != (self.label is None):
            raise ConfigError("'data' with 'dataset' needs 'label', the name in the column labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """A task file.

    Attributes:
        name: short lower-case name.
        data: where the data is.
        title: one line for people.
        licence: what the publisher allows.
        columns: names of the columns (tables only).
        alphabet: `dna`, `rna` or `protein`.
        unit: what a model should read: `codon`, `nucleotide` or `residue`.
        kind: `regression` is the only kind yet.
        metric: primary metric, also used to choose on validation.
        transform: `log1p` takes the natural logarithm of 1 + value.
        fractions: train, validation, test of a seeded split by group, for tables without a split column.
        seed: of that split.
    """

    name: str
    data: Source
    title: str = ""
    licence: str = "unknown"
    columns: Columns = field(default_factory=Columns)
    alphabet: str = "dna"
    unit: Literal["codon", "nucleotide", "residue"] = "nucleotide"
    kind: Literal["regression"] = "regression"
    metric: str = "spearman"
    transform: Literal["none", "log1p"] = "none"
    fractions: tuple[float, ...] = (0.7, 0.15, 0.15)
    seed: int = 0

    def __post_init__(self) -> None:
        get_alphabet(self.alphabet)
        if self.metric not in SCORES:
            raise ConfigError(f"metric {self.metric!r}, known: {', '.join(SCORES)}")
        if len(self.fractions) != 3 or min(self.fractions) <= 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise ConfigError(f"fractions = {self.fractions}, three positive numbers of sum 1 expected")
        if (self.unit == "residue") != (self.alphabet == "protein"):
            raise ConfigError(f"unit {self.unit!r} does not go with alphabet {self.alphabet!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A loaded task.

    Attributes:
        config: its file.
        table: rows of `TASK_SCHEMA`; every row has a split.
        alphabet: of the sequences.
        notes: counts worth stating, for example rows without a whole number of codons.
    """

    config: TaskConfig
    table: pa.Table
    alphabet: str
    notes: Mapping[str, int | str]

    @property
    def name(self) -> str:
        """Short name."""
        return self.config.name

    @property
    def metric(self) -> str:
        """Primary metric."""
        return self.config.metric

    @property
    def unit(self) -> str:
        """What is read as one symbol."""
        return self.config.unit

    @property
    def fingerprint(self) -> str:
        """Hash of rows, splits and everything that decides the score."""
        c = self.config
        columns = [self.table.column(name).to_pylist() for name in self.table.column_names]
        return fingerprint([c.name, c.unit, c.metric, c.kind, self.alphabet, columns])

    def rows(self, split: str) -> pa.Table:
        """The rows of a split, in file order."""
        mask = np.asarray(self.table.column("split").to_numpy(zero_copy_only=False) == split)
        return self.table.filter(pa.array(mask))

    def sequences(self, split: str) -> list[str]:
        """The sequences of a split."""
        return self.rows(split).column("sequence").to_pylist()

    def values(self, split: str) -> np.ndarray:
        """float64 values of a split."""
        return self.rows(split).column("value").to_numpy()

    def groups(self, split: str) -> list[str] | None:
        """Group labels of a split, or `None` where the task has no groups."""
        column = self.rows(split).column("group")
        return None if column.null_count else column.to_pylist()

    def check(self) -> None:
        """Refuses a task whose splits cannot be used.

        Raises:
            DataError: an empty split or too few rows in it.
        """
        for split in SPLITS:
            n = self.rows(split).num_rows
            if n < LEAST_ROWS:
                hint = "label more records, or leave the task out"
                raise DataError(
                    f"{n} {split} rows, at least {LEAST_ROWS} are needed",
                    where=f"task {self.name}",
                    hint=hint,
                )
