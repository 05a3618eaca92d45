"""What a table is: by the names of its columns, or by the schema of a Parquet file."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import DataError

_MAGIC = b"PAR1"
_OAS = re.compile(rb"\A(?:\"\{\s*\"\"|\{\s*\")(?=[^{}]{0,4096}\bRun\b)")
_AIRR = {"v_call", "junction", "junction_aa", "rev_comp", "sequence_alignment", "sequence_vdj_aa"}
_SEQUENCES = {
    "sequence", "seq", "sequences", "cds", "dna", "rna", "mrna", "protein", "protein_sequence", "aa_sequence",
    "nucleotide_sequence", "genomic_sequence", "rna_sequence", "aa", "primary", "smiles", "selfies",
    "canonical_smiles",
}  # fmt: skip
_KNOWN = (
    "FASTA begins with '>', FASTQ with '@', GenBank with 'LOCUS', EMBL with 'ID', a table with column names"
)


class UnknownFormatError(DataError):
    """A readable file that is none of the known formats."""


def is_parquet(path: Path) -> bool:
    """Whether the first bytes are those of Parquet; no file is not."""
    try:
        with open(path, "rb") as handle:
            return handle.read(4) == _MAGIC
    except OSError:
        return False


def parquet_kind(path: Path) -> str:
    """`seqloom` for files of our own datasets, else `parquet`.

    Raises:
        DataError: a damaged file.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as Parquet: {str(error).splitlines()[0]}", where=path) from error
    return "seqloom" if b"seqloom.schema_version" in metadata else "parquet"


def table_kind(head: bytes, path: Path, columns: Sequence[str] = ()) -> str:
    """`oas`, `airr`, `tcrdb`, `vdjdb`, `smiles` or `table`.

    Args:
        head: first bytes of the file, decompressed.
        path: for messages.
        columns: names that make any table a `table`.

    Raises:
        UnknownFormatError: none of them; quotes the first line or the columns.
    """
    from biodata.io.smiles import looks_like_smiles  # these load polars: not for FASTA

    if _OAS.match(head):
        return "oas"
    lines = head.decode("utf-8", "replace").splitlines()
    names = _names(lines[0])
    if "AASeq" in names and "Vregion" in names:
        return "tcrdb"
    if "antigen.epitope" in names and names & {"cdr3", "cdr3.alpha", "cdr3.beta"}:
        return "vdjdb"
    if ("sequence_id" in names and names & _AIRR) or {"v_call", "junction_aa"} <= names:
        return "airr"
    # the last line may be cut off
    if looks_like_smiles(lines[:-1] or lines):
        return "smiles"
    if {name.lower() for name in names} & _SEQUENCES or names & set(columns):
        return "table"
    if len(names) > 1 and len(lines) > 1 and len(_names(lines[1])) > 1 and "   " not in lines[0]:
        raise UnknownFormatError(f"no column of sequences in {lines[0][:200]!r}", where=path,
                                 hint="--sequence-column names it")  # fmt: skip
    raise UnknownFormatError(
        f"not a known format, the first line is {lines[0][:60]!r}", where=path, hint=_KNOWN
    )


def _row(line: str) -> list[str]:
    from biodata.io.tables import separator_of

    line = line.replace("\0", "")  # which csv refuses up to Python 3.10; the reader names the place
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator_of(line)), [])]
    except csv.Error:  # not the header of a table
        return []


def _names(line: str) -> set[str]:
    return set(_row(line))
