"""Somebody else's table: which column is the sequence, which the split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from biodata.alphabet import get_alphabet
from biodata.curate.molecules import smiles_to_selfies
from biodata.errors import DataError
from biodata.io.streams import open_binary
from biodata.mmseqs import normalised
from biodata.schema import SPLITS

SEQUENCE_COLUMNS = ("sequence", "seq", "cds", "sequences")
SMILES_COLUMNS = ("smiles", "canonical_smiles")
SPLIT_COLUMNS = ("split", "set", "partition", "subset")
ID_COLUMNS = ("id", "name", "accession", "sequence_id", "gene_id")
_SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "dev": "validation",
    "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_KINDS = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.zst", ".tsv.bz2", ".tsv.zst")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold what, where their names do not say it; None: one of the usual names."""

    sequence: str | None = None
    split: str | None = None


_USUAL = Columns()
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AuditedRows:
    """Rows of a set that can be audited, and what is wrong with the others.

    Attributes:
        ids: of a stranger's table from a column of ids, else `row N`, counted from 1 without the header.
        split: 0 train, 1 validation, 2 test.
        problems: one line each.
    """

    ids: list[str]
    sequences: pa.ChunkedArray
    split: np.ndarray
    problems: list[str]


def sequence_columns(alphabet: str) -> tuple[str, ...]:
    """Names that a column of sequences may have; of molecules SELFIES come before SMILES."""
    molecules = ("selfies", *SMILES_COLUMNS) if alphabet == "selfies" else ()
    return (*molecules, *SEQUENCE_COLUMNS)


def is_table(path: Path, alphabet: str) -> bool:
    """Whether the name is that of a table with a sequence column."""
    if not path.name.lower().endswith(_KINDS):
        return False
    return named_column(read_table(path), sequence_columns(alphabet)) is not None


def tables_in(path: Path) -> list[Path]:
    """The tables of a folder."""
    return sorted(p for p in path.iterdir() if p.name.lower().endswith(_KINDS))


def read_table(path: Path) -> pa.Table:
    """A CSV, TSV or Parquet file.

    Raises:
        DataError: it is none.
    """
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            return pq.read_table(path)
        with open_binary(path) as handle:
            options = pyarrow.csv.ParseOptions(delimiter="\t" if ".tsv" in name else ",")
            return pyarrow.csv.read_csv(handle, parse_options=options)
    except pa.ArrowInvalid as error:
        what = str(error).splitlines()[0]
        raise DataError(f"not readable as a table: {what}", where=path) from None


def named_column(table: pa.Table, names: tuple[str, ...]) -> str | None:
    """The column of one of these names, whatever the case; the first name that is there."""
    lower = {name.lower(): name for name in reversed(table.column_names)}
    return next((lower[name] for name in names if name in lower), None)


def read_rows(path: Path, part: str, *, alphabet: str) -> tuple[list[str], pa.ChunkedArray]:
    """Ids and sequences of one split of a table; of all rows if it has no split column.

    Args:
        path: CSV, TSV or Parquet.
        part: train, validation or test.
        alphabet: selfies: a column `smiles` is turned into SELFIES, empty where there are none.
    """
    table = read_table(path)
    if split := named_column(table, SPLIT_COLUMNS):
        names = [_SPLIT_NAMES.get(str(value).strip().lower()) for value in table[split].to_pylist()]
        table = table.filter(pa.array([name == part for name in names]))
        if not len(table):
            raise DataError(f"no row of the split {part!r}", where=path)
    return _ids(table), _sequences(table, path, alphabet)[0]


def read_split(path: Path, alphabet: str, *, columns: Columns = _USUAL) -> AuditedRows:
    """Rows that can be audited, the split of each, and what is wrong with the others.

    Args:
        path: CSV, TSV or Parquet.
        alphabet: what the sequences are; selfies: SELFIES or SMILES.
        columns: where the usual names do not say it.

    Raises:
        DataError: no table, a column that is not there, or no row that can be audited.
    """
    if path.is_dir():
        raise DataError("a folder without manifest.json", where=path,
                        hint=f"name one file, for example {tables_in(path)[0].name}")  # fmt: skip
    table = read_table(path)
    written, reasons = _sequences(table, path, alphabet, named=columns.sequence)
    split = _needed(table, SPLIT_COLUMNS, "split", path, named=columns.split)
    # molecules stay as they are written: their tokens become letters where they are compared
    texts = (written if alphabet == "selfies" else normalised(written, alphabet=alphabet)).to_pylist()
    parts = [str(value).strip().lower() for value in table[split].to_pylist()]
    # Compared as DNA where it is RNA: `normalised` has made every U a T.
    letters = get_alphabet("dna" if alphabet == "rna" else alphabet)
    problems = []
    unknown = sorted({part for part in parts if part not in _SPLIT_NAMES})
    if unknown:
        count = sum(part not in _SPLIT_NAMES for part in parts)
        problems.append(f"{count} rows with a split that is none of train, validation, test: {unknown[0]!r}")
    invalid = [at for at, text in enumerate(texts) if not text or not letters.is_valid(text)]
    if invalid:
        first = texts[invalid[0]]
        wrong = "".join(sorted(letters.invalid_symbols(first)))[:10] if first else ""
        what = f"symbols {wrong!r} outside {alphabet}" if wrong else "no sequence"
        if why := reasons.get(invalid[0]):
            what = f"SMILES without SELFIES ({why})"
        problems.append(f"{len(invalid)} rows with {what}, the first is data row {invalid[0] + 1}")
    bad = set(invalid)
    kept = [at for at, part in enumerate(parts) if part in _SPLIT_NAMES and at not in bad]
    if not kept:
        named = sorted(set(parts))
        more = ", ..." if len(named) > _SHOWN else ""
        held = f"column {split!r} holds {', '.join(map(repr, named[:_SHOWN]))}{more}"
        raise DataError(f"no row has both a valid {alphabet} sequence and a known split: {held}", where=path,
                        hint="allowed: train, validation, test")  # fmt: skip
    numbers = np.array([SPLITS.index(_SPLIT_NAMES[parts[at]]) for at in kept], np.int8)
    if len(present := set(numbers.tolist())) == 1:
        problems.append(
            f"all rows that can be compared are {SPLITS[present.pop()]}: there is no split to check"
        )
    ids = _ids(table)
    rows = pa.chunked_array([pa.array([texts[at] for at in kept], pa.large_string())])
    return AuditedRows([ids[at] for at in kept], rows, numbers, problems)


def _ids(table: pa.Table) -> list[str]:
    name = named_column(table, ID_COLUMNS)
    return [str(x) for x in table[name].to_pylist()] if name else [f"row {n + 1}" for n in range(len(table))]


def _sequences(
    table: pa.Table, path: Path, alphabet: str, *, named: str | None = None
) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """The sequences of a table, empty for none, and why rows of SMILES have none."""
    name = _needed(table, sequence_columns(alphabet), "sequence", path, named=named)
    column = table[name].cast(pa.large_string()).fill_null("")
    if alphabet != "selfies" or name.lower() not in SMILES_COLUMNS:
        return column, {}
    texts, problems = smiles_to_selfies(column.to_pylist())
    reasons = {row: problem for row, problem in enumerate(problems) if problem}
    return pa.chunked_array([pa.array(texts, pa.large_string())]), reasons


def _needed(
    table: pa.Table, names: tuple[str, ...], what: str, path: Path, *, named: str | None = None
) -> str:  # fmt: skip
    found = named_column(table, names) if named is None else named_column(table, (named.lower(),))
    if found is None:
        missing = f"no {what} column" if named is None else f"no column {named!r}"
        raise DataError(f"{missing} among {', '.join(table.column_names[:10])}", where=path,
                        hint=f"say which by --{what}-column, or name it {' or '.join(names)}")  # fmt: skip
    return found
