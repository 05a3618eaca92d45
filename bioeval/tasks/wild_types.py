"""The wild type of every row of a zero-shot task: given, or the sequence with its mutations undone."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from biodata.errors import ConfigError, DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.rows import Book, Rows
from bioeval.tasks.sequences import sequences_of

_MUTATION = re.compile(r"([A-Z*])(\d+)([A-Z*])")
_NONE = ("", "wt", "_wt", "wild-type")


def references_of(
    rows: Rows, sequences: pa.ChunkedArray, config: TaskConfig, book: Book
) -> dict[str, pa.Array]:
    """Columns `reference` and `mutant` of a zero-shot task; none of both where its file has no wild type.

    Args:
        rows: what the files hold.
        sequences: of all rows, mutated.
        config: `wildtype`, `columns.wildtype`, `columns.mutant`.
        book: takes rows without a wild type.

    Raises:
        DataError: a mutation that the sequence does not have, or that does not start from the wild type,
            with file and line.
    """
    names = config.columns
    columns: dict[str, pa.Array] = {}
    mutants: list[str | None] | None = None
    if names.mutant is not None:
        mutants = rows.texts(names.mutant).to_pylist()
        columns["mutant"] = pa.array(mutants, pa.string())
    if config.wildtype:
        references = [_checked(config)] * len(sequences)
    elif names.wildtype is not None:
        references = sequences_of(rows, names.wildtype, config.alphabet, book).to_pylist()
    elif mutants is not None:
        texts = sequences.to_pylist()
        references = [
            _undone(texts[row], mutants[row] or "", rows, row) if keep else ""
            for row, keep in enumerate(book.kept)
        ]
    else:
        return columns
    if mutants is not None and (config.wildtype or names.wildtype):
        _check_mutants(references, sequences.to_pylist(), mutants, rows, book)
    columns["reference"] = pa.array(references, pa.large_string())
    return columns


def undo(sequence: str, mutant: str) -> str:
    """The wild type of a mutated sequence.

    Args:
        sequence: with the mutations.
        mutant: substitutions `A12G`, counted from 1, with `:` between them; empty or `WT` for none.

    Raises:
        DataError: text that is no substitution, or a letter that the sequence does not have there.

    >>> undo("MGL", "A2G"), undo("MGL", "A2G:V3L"), undo("MGL", "WT")
    ('MAL', 'MAV', 'MGL')
    """
    letters = list(sequence)
    for text in [] if mutant.strip().lower() in _NONE else mutant.split(":"):
        match = _MUTATION.fullmatch(text.strip())
        if match is None:
            raise DataError(f"mutation {text!r}, allowed: A12G, with ':' between several")
        before, place, after = match.group(1), int(match.group(2)), match.group(3)
        if not 0 < place <= len(letters) or letters[place - 1] != after:
            found = letters[place - 1] if 0 < place <= len(letters) else f"only {len(letters)} letters"
            raise DataError(f"mutation {text}: the mutated sequence has {found} at {place}")
        letters[place - 1] = before
    return "".join(letters)


def _undone(sequence: str, mutant: str, rows: Rows, row: int) -> str:
    try:
        return undo(sequence, mutant)
    except DataError as error:
        raise DataError(str(error), where=rows.where(row)) from error


def _check_mutants(
    references: list[str], sequences: list[str], mutants: list[str | None], rows: Rows, book: Book
) -> None:
    for row in np.flatnonzero(book.kept).tolist():
        if mutants[row] and undone_differs(references[row], sequences[row], str(mutants[row]), rows, row):
            raise DataError(f"mutations {mutants[row]} of the wild type do not give the sequence",
                            where=rows.where(row))  # fmt: skip


def undone_differs(reference: str, sequence: str, mutant: str, rows: Rows, row: int) -> bool:
    """Whether undoing the mutations of a row gives something else than the wild type.

    Args:
        reference: the wild type.
        sequence: of the row, mutated.
        mutant: its mutations, `A12G:D3N`.
        rows: of the file, for the message of an error.
        row: its number.
    """
    return _undone(sequence, mutant, rows, row) != reference


def _checked(config: TaskConfig) -> str:
    from biodata.alphabet import get_alphabet

    wrong = get_alphabet(config.alphabet).invalid_symbols(config.wildtype)
    if wrong:
        raise ConfigError(f"{config.name}: wildtype holds {', '.join(map(repr, sorted(wrong)))}, "
                          f"no letters of {config.alphabet}")  # fmt: skip
    return config.wildtype
