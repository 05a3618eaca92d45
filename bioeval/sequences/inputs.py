"""Sets of sequences from what people have: a file of any format, a pattern, folder, dataset, source name.

FASTA, Parquet with a column `sequence` and datasets are read here, all else as `data build` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import ConfigError, DataError
from biodata.fetch.resolve import resolve_inputs
from biodata.files import fingerprint, read_json, sha256_file
from biodata.io.detect import detect_format
from biodata.io.detect_table import is_parquet
from biodata.io.fasta import read_fasta
from bioeval.metrics.sequence_set import CHARACTERS, NUCLEOTIDES, RESIDUES, SequenceSet
from bioeval.records.inputs import InputConfig, Records

_LETTERS = {
    "nucleotide": NUCLEOTIDES, "dna": NUCLEOTIDES, "rna": NUCLEOTIDES, "protein": RESIDUES,
    "smiles": CHARACTERS, "selfies": CHARACTERS,
}  # fmt: skip


_Alphabet = Literal["any", "dna", "protein", "selfies"]
_NAMES: dict[str, _Alphabet] = {NUCLEOTIDES: "dna", RESIDUES: "protein", CHARACTERS: "selfies"}
"""What readers call the alphabet of some letters."""

_TABLES = ("parquet", "table")
"""Formats of which a column can be named."""


class Reading(NamedTuple):
    """What is taken of the files.

    Attributes:
        letters: the alphabet (`bioeval.metrics.sequence_set`).
        column: of a table the column of the sequences; empty takes the usual names.
    """

    letters: str = NUCLEOTIDES
    column: str = ""


_NUCLEOTIDES = Reading()


class Loaded(NamedTuple):
    """Sequences that were read.

    Attributes:
        sequences: the set, or a draw of it.
        found: how many there were.
        families: int64, the cluster of each where the input has that column.
        dropped: records that could not be read, by rule.
    """

    sequences: SequenceSet
    found: int
    families: np.ndarray | None
    dropped: Mapping[str, int]


def folder_of(path: Path, *, alphabet: str) -> Path:
    """The path; of a source name such as `refseq:viral` the folder of its files, fetched if need be.

    Args:
        path: as given.
        alphabet: `auto`, `nucleotide`, `protein` or `smiles`: which kind of file a name means.

    Raises:
        ConfigError: an unknown name.
        FetchError: it cannot be fetched.
    """
    wanted = "" if alphabet == "auto" else _NAMES[_LETTERS[alphabet]]
    (found,) = resolve_inputs([str(path)], alphabet=wanted, take="records")
    return Path(found)


def letters_of(path: Path, split: str, alphabet: str, *, column: str = "") -> str:
    """The letters of the sequences of an input (`bioeval.metrics.sequence_set`).

    Args:
        path: see `read_set`.
        split: of a dataset folder.
        alphabet: `nucleotide`, `protein`, `smiles`, or `auto`: what the format says (molecules, UniRef,
            T-cell receptors) or the column `alphabet` of datasets, nucleotides where neither does.
        column: see `Reading`.

    Raises:
        ConfigError: no such file or folder.
        DataError: rows of several alphabets, or of one whose sequences no metric knows.
    """
    if alphabet != "auto":
        return _LETTERS[alphabet]
    found = sorted({a for a in _alphabets(Path(path), split, column) if a is not None}) or ["nucleotide"]
    kinds = {_LETTERS.get(name) for name in found}
    if len(kinds) > 1 or None in kinds:
        raise DataError(f"sequences of the alphabets {', '.join(found)}", where=path,
                        hint=f"one of these at a time: {', '.join(_LETTERS)}")  # fmt: skip
    return _LETTERS[found[0]]


def check_column(paths: Iterable[Path], column: str) -> None:
    """Refuses a column where none of the inputs is a table.

    Raises:
        ConfigError: naming it.
    """
    if not column:
        return
    for path in paths:
        records = _records(path, column=column)
        if records is not None and any(file.format in _TABLES for file in records.files):
            return
    raise ConfigError(f"sequence_column = {column!r} does nothing: none of the inputs is a table")


def _alphabets(path: Path, split: str, column: str) -> list[str | None]:
    records = _records(path, column=column)
    if records is not None:
        return [*records.alphabets]
    shards = sorted((path / "data").glob(f"{split}-*.parquet")) if path.is_dir() else [path]
    found: list[str | None] = []
    for shard in shards:
        if is_parquet(shard) and "alphabet" in pq.read_schema(shard).names:
            found += pq.read_table(shard, columns=["alphabet"])["alphabet"].unique().to_pylist()
    return found


def _records(path: Path, *, alphabet: _Alphabet = "any", column: str = "") -> Records | None:
    """What the readers of `data build` read; None for what is read here: FASTA, Parquet with a column
    `sequence`, datasets."""
    if path.is_dir() and (path / "data").is_dir():
        return None
    if path.is_file():
        kind = detect_format(path, columns=(column,) if column else ())
        ours = kind in _TABLES and is_parquet(path) and "sequence" in pq.read_schema(path).names
        if kind in ("fasta", "seqloom") or (ours and column in ("", "sequence")):
            return None
    return Records(InputConfig(inputs=(str(path),), alphabet=alphabet, sequence_column=column))


def read_set(
    path: Path, *, split: str, limit: int, seed: int, reading: Reading = _NUCLEOTIDES
) -> Loaded:  # fmt: skip
    """Reads sequences.

    Args:
        path: a file, a folder of files or a pattern, of any format that `data build` reads and any
            compression (annotated records whole; only the sequences drawn are held), or a dataset folder.
        split: which split of a dataset folder: `train`, `validation` or `test`.
        limit: at most so many sequences, drawn at random without replacement, in file order; 0 takes all.
        seed: of that draw.
        reading: alphabet and column.

    Raises:
        ConfigError: no such file or folder.
        DataError: no sequences, a format that is not known, or letters that the alphabet lacks.
    """
    letters = reading.letters
    records = _records(Path(path), alphabet=_NAMES[letters], column=reading.column)
    if records is not None:
        table, total = _read_records(records, limit, seed)
        dropped = records.dropped()
    else:
        table, dropped = _read_table(Path(path), split), {}
        total = table.num_rows
        if (rows := _drawn(total, limit, seed)) is not None:
            table = table.take(rows)
    sequences = ["".join(text.split()) for text in table["sequence"].to_pylist()]
    families = table["cluster"].to_numpy() if table["cluster"].null_count == 0 else None
    ids = table["id"].to_pylist()
    return Loaded(
        SequenceSet.from_strings(sequences, ids, letters=letters, where=path), total, families, dropped
    )


def input_fingerprint(path: Path, *, column: str = "") -> dict[str, str]:
    """Name and SHA-256 of a file, of a folder or pattern a fingerprint of its files, of a dataset its own; no
    folder names.

    Args:
        path: see `read_set`.
        column: see `Reading`.
    """
    path = Path(path)
    if path.is_file():
        return {"name": path.name, "sha256": sha256_file(path)}
    if (records := _records(path, column=column)) is not None:
        return {"name": path.name, "fingerprint": records.fingerprint}
    manifest = read_json(path / "manifest.json") if (path / "manifest.json").is_file() else {}
    shards = [sha256_file(shard) for shard in sorted((path / "data").glob("*.parquet"))]
    return {"name": path.name, "fingerprint": manifest.get("fingerprint") or fingerprint(shards)}


def _read_table(path: Path, split: str) -> pa.Table:
    if path.is_dir():
        shards = sorted((path / "data").glob(f"{split}-*.parquet"))
        if not shards:
            raise DataError(f"no data/{split}-*.parquet here", where=path, hint="is this a dataset folder?")
        return pa.concat_tables([_read_parquet(shard) for shard in shards])
    return _read_parquet(path) if is_parquet(path) else _read_fasta(path)


def _drawn(total: int, limit: int, seed: int) -> np.ndarray | None:
    """The rows that are taken, sorted; None for all."""
    if not limit or total <= limit:
        return None
    return np.sort(np.random.default_rng(seed).choice(total, size=limit, replace=False))


def _read_records(records: Records, limit: int, seed: int) -> tuple[pa.Table, int]:
    """The sequences drawn of all records, and how many there are: read to count, read again to take."""
    total = sum(len(ids) for ids, _ in records.again().pieces()) if limit else 0
    rows = _drawn(total, limit, seed)
    found, start = [], 0
    for ids, sequences in records.pieces():
        table = _with_cluster(pa.table({"id": ids, "sequence": sequences})).cast(_COLUMNS)
        if rows is not None:
            table = table.take(rows[(rows >= start) & (rows < start + len(ids))] - start)
        found.append(table)
        start += len(ids)
    return pa.concat_tables(found), start


def _read_parquet(path: Path) -> pa.Table:
    try:
        names = pq.read_schema(path).names
    except pa.ArrowInvalid as error:
        raise DataError(f"cannot be read as Parquet: {error}", where=path) from None
    if "sequence" not in names:
        raise DataError(f"no column 'sequence' (has: {', '.join(names)})", where=path)
    table = pq.read_table(path, columns=[name for name in _COLUMNS.names if name in names])
    if "id" not in names:
        table = table.append_column("id", pa.array([str(i + 1) for i in range(table.num_rows)]))
    if table["sequence"].null_count:
        raise DataError(f"{table['sequence'].null_count} rows have no sequence", where=path)
    return _with_cluster(table).select(_COLUMNS.names).cast(_COLUMNS)


def _read_fasta(path: Path) -> pa.Table:
    batches = [batch.select(["id", "sequence"]) for batch in read_fasta(path)]
    if not batches:
        return _COLUMNS.empty_table()
    return _with_cluster(pa.Table.from_batches(batches)).cast(_COLUMNS)


def _with_cluster(table: pa.Table) -> pa.Table:
    if "cluster" in table.column_names:
        return table
    return table.append_column("cluster", pa.nulls(table.num_rows, pa.int64()))


_COLUMNS = pa.schema(
    [pa.field("id", pa.string()), pa.field("sequence", pa.large_string()), pa.field("cluster", pa.int64())]
)
