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
from bioeval.mutants.config import MutationConfig
from bioeval.mutants.notation import apply_mutants

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


def read_mutants(path: Path, config: MutationConfig, *, log: RuleLog) -> Mutants:
    """Reads a table of mutants.

    Args:
        path: CSV, TSV (of any compression) or Parquet.
        config: its wild type and columns; where there is no column of mutants, mutated sequences are read.
        log: takes rows of another number of columns.

    Raises:
        ConfigError: no such file.
        DataError: a column that is missing, an empty cell, or a mutant that does not fit its wild type.
    """
    wild_type = read_wild_type(config.wild_type) if config.wild_type else ""
    frame, where = _frame(Path(path), log), str(path)
    own = config.reference_column
    references = _texts(frame, own, where) if own else [wild_type] * frame.height
    if config.mutant_column in frame.columns:
        written = _texts(frame, config.mutant_column, where)
        sequences = apply_mutants(references, written, first=config.first, where=where)
    else:
        written = [str(row) for row in range(1, frame.height + 1)]
        sequences = _texts(frame, _mutated_column(frame.columns, config, where), where)
    ids = _texts(frame, "id", where) if "id" in frame.columns else written
    return Mutants(ids, sequences, references)


def _mutated_column(names: Sequence[str], config: MutationConfig, where: str) -> str:
    column = next((name for name in MUTATED if name in names and name != config.reference_column), None)
    if column is None:
        wanted = f"{config.mutant_column!r}, or a mutated sequence in {', '.join(MUTATED)}"
        raise DataError(f"no column {wanted}", where=where, hint=f"there are: {', '.join(names)}")
    return column


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
