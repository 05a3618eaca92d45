"""The sequences of a task: present, of the right letters, molecules as SELFIES."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.alphabet import get_alphabet
from biodata.curate.molecules import smiles_to_selfies
from biodata.errors import DataError, require
from biodata.similarity.molecules import EXTRA
from bioeval.tasks.rows import Book, Rows


def sequences_of(
    rows: Rows, name: str, alphabet: str, book: Book, *, smiles: bool = False
) -> pa.ChunkedArray:
    """A column of sequences, checked; rows without one are left out by the book.

    Lower case becomes upper case: sequence files write repeats so, and no alphabet has it.

    Args:
        rows: what the files hold.
        name: of the column.
        alphabet: of its sequences.
        book: takes rows without a sequence (`no-sequence`) and SMILES without SELFIES (`no-selfies`).
        smiles: whether molecules are written as SMILES.

    Raises:
        DataError: letters that the alphabet does not have, with file and line.
    """
    column = pc.call_function("utf8_trim_whitespace", [rows.texts(name)])
    column = pc.if_else(pc.equal(column, ""), None, column)  # pyright: ignore[reportAttributeAccessIssue]
    book.leave_out("no-sequence", _mask(column.is_null()), f"column {name!r} is empty")
    if smiles:
        column = _selfies(column, book)
    elif alphabet != "selfies":
        column = pc.call_function("utf8_upper", [column])
    column = column.fill_null("")
    _check_letters(rows, column, alphabet, book)
    return column


def _selfies(column: pa.ChunkedArray, book: Book) -> pa.ChunkedArray:
    """SELFIES of SMILES; one refused is tried as RDKit writes it (nitro groups with charges), counted."""
    smiles = [text or "" for text in column.to_pylist()]
    texts, problems = smiles_to_selfies(smiles)
    refused = [row for row, problem in enumerate(problems) if problem]
    again, _ = smiles_to_selfies(_rewritten([smiles[row] for row in refused]))
    changed = [row for row, text in zip(refused, again) if text]
    for row, text in zip(refused, again):
        texts[row], problems[row] = text, "" if text else problems[row]
    if changed:
        lines = book.rows.lines[changed].tolist()
        book.log.change("smiles-rewritten", ids=[str(line) for line in lines], lines=lines)
    book.leave_out("no-selfies", np.array([bool(p) for p in problems], bool), "no SELFIES", details=problems)
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _rewritten(smiles: list[str]) -> list[str]:
    """Canonical SMILES of RDKit, empty where it refuses a molecule."""
    if not smiles:
        return []
    chem, base = require("rdkit.Chem", extra=EXTRA), require("rdkit.rdBase", extra=EXTRA)
    with base.BlockLogs():
        found = [chem.MolFromSmiles(text) for text in smiles]
    return ["" if molecule is None else chem.MolToSmiles(molecule) for molecule in found]


def _check_letters(rows: Rows, column: pa.ChunkedArray, alphabet: str, book: Book) -> None:
    known = get_alphabet(alphabet)
    if alphabet == "selfies":
        wrong = np.array([bool(known.invalid_symbols(text)) for text in column.to_pylist()], bool)
    else:
        pattern = pc.MatchSubstringOptions(f"[^{re.escape(known.letters)}]")
        wrong = _mask(pc.call_function("match_substring_regex", [column], pattern))
    at = np.flatnonzero(wrong & book.kept)
    if len(at):
        row = int(at[0])
        symbols = known.invalid_symbols(column[row].as_py())
        shown = ", ".join(repr(s) for s in sorted(symbols)[:8])
        raise DataError(f"a sequence of {alphabet} holds {shown}", where=rows.where(row))


def _mask(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().astype(bool)
