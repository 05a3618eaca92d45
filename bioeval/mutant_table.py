"""Tables of mutants: CSV, TSV or Parquet with a column of mutants or of mutated sequences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from biodata.curate.rules import RuleLog
from biodata.errors import ConfigError, DataError
from biodata.io import READERS
from biodata.io.detect import detect_format
from biodata.io.detect_table import is_parquet
from biodata.io.streams import open_binary
from biodata.io.tables import has_more, read_header, read_rows
from bioeval.mutants import apply_mutants

MUTATED = ("mutated_sequence", "mutant_sequence", "sequence", "seq", "alt")
"""Columns taken for whole mutated sequences where there is no column of mutants."""


class Mutants(NamedTuple):
    """Mutants and what they were made of.

    Attributes:
        ids: column `id`, else the mutant as written, else the row's number from 1.
        sequences: mutated.
        references: the wild type of each.
    """

    ids: list[str]
    sequences: list[str]
    references: list[str]


def read_mutants(
    path: Path, *, wild_type: str, reference_column: str, mutant_column: str, first: int, log: RuleLog
) -> Mutants:
    """Reads a table of mutants.

    Args:
        path: CSV, TSV (of any compression) or Parquet.
        wild_type: sequence that all were made of; empty where a column says it.
        reference_column: column of wild types; empty where all have one.
        mutant_column: `A12V` or `A12V:G15S`; where there is no such column, mutated sequences are read.
        first: number of the wild type's first letter in them.
        log: takes rows of another number of columns.

    Raises:
        ConfigError: no such file, or neither wild type nor column.
        DataError: a column that is missing, an empty cell, or a mutant that does not fit its wild type.
    """
    frame = _frame(Path(path), log)
    where, names = str(path), frame.columns
    own = reference_column != ""
    references = _texts(frame, reference_column, where) if own else [wild_type] * frame.height
    if mutant_column in names:
        written = _texts(frame, mutant_column, where)
        if not own:
            sequences = apply_mutants(wild_type, written, first=first, where=where)
        else:
            sequences = [
                apply_mutants(reference, [mutant], first=first, where=f"{where} line {row + 1}")[0]
                for row, (reference, mutant) in enumerate(zip(references, written), 1)
            ]
    else:
        column = next((name for name in MUTATED if name in names), None)
        if column is None or column == reference_column:
            wanted = f"{mutant_column!r}, or a mutated sequence in {', '.join(MUTATED)}"
            raise DataError(f"no column {wanted}", where=where, hint=f"there are: {', '.join(names)}")
        sequences = _texts(frame, column, where)
        written = [str(row) for row in range(1, frame.height + 1)]
    ids = _texts(frame, "id", where) if "id" in names else written
    return Mutants(ids, sequences, references)


def read_wild_type(text: str) -> str:
    """The wild type: a sequence, or the one record of a file.

    Raises:
        ConfigError: no such file, where the text cannot be a sequence.
        DataError: a file of no or of several records.
    """
    path = Path(text)
    if not (len(text) < 255 and path.is_file()):
        if text.isalpha() or text.rstrip("*").isalpha():
            return text
        raise ConfigError(f"wild_type = {text[:40]!r} is neither a file nor a sequence of letters")
    found = [s for batch in READERS.load(detect_format(path))(path) for s in batch["sequence"].to_pylist()]
    if len(found) != 1:
        raise DataError(f"{len(found)} records, the wild type is one", where=path)
    return found[0]


def _frame(path: Path, log: RuleLog) -> pl.DataFrame:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file (a table of mutants is CSV, TSV or Parquet)")
    log.file = path.name
    if is_parquet(path):
        frame = pl.read_parquet(path)
    else:
        with open_binary(path) as stream:
            if not has_more(stream):
                raise DataError("the file is empty", where=path)
            header = read_header(stream, where=path)
            frames = [rows for rows, _ in read_rows(stream, header, where=path, log=log)]
        frame = pl.concat(frames) if frames else pl.DataFrame({name: [] for name in header.names})
    if not frame.height:
        raise DataError("no rows", where=path)
    return frame


def _texts(frame: pl.DataFrame, column: str, where: str) -> list[str]:
    if column not in frame.columns:
        hint = f"there are: {', '.join(frame.columns)}"
        raise DataError(f"no column {column!r}", where=where, hint=hint)
    values: Sequence[str | None] = frame[column].cast(pl.String).to_list()
    if None in values:
        raise DataError(f"row {values.index(None) + 1}: column {column!r} is empty", where=where)
    return [value for value in values if value is not None]
