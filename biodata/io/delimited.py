"""Tables of one's own: CSV, TSV and Parquet with a column of sequences; the other columns become labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.nested import label_lists, raw_batch
from biodata.io.streams import open_binary
from biodata.io.tables import Header, config_for, has_more, read_header, read_rows
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA

SEQUENCE_NAMES = {
    "dna": ("sequence", "seq", "sequences", "cds", "dna", "nucleotide_sequence", "genomic_sequence"),
    "rna": ("sequence", "seq", "sequences", "cds", "rna", "mrna", "rna_sequence"),
    "protein": (
        "sequence",
        "seq",
        "sequences",
        "protein",
        "protein_sequence",
        "aa_sequence",
        "aa",
        "primary",
    ),
    "selfies": ("smiles", "selfies", "canonical_smiles", "sequence"),
}
"""Names, in any case, of the column that is taken where none is given; the first that is there."""
ID_NAMES = ("id", "sequence_id", "name", "accession", "contig_id", "zinc_id", "cid", "mol_id", "gene_id")
_TEXT = "text"
_COLUMNS = ("description", "organism", "taxon_id", _TEXT)
_NULLS = ("", "NA", "NaN", "nan", "null", "None")
_BATCH_BYTES = 8 << 20
_LINE, _MADE_UP = "line of the row (seqloom)", "id of the row (seqloom)"  # columns of our own
_KEPT = [name for name in ("parent", "start", "end", "strand", "text") if name in SCHEMA.names]


def sequence_column(names: Sequence[str], *, config: ReadConfig, where: Path) -> str:
    """The column of the sequences.

    Args:
        names: columns of the table, in order.
        config: its `sequence_column`, else the usual names of its alphabet, whatever their case.
        where: file, for the message.

    Raises:
        DataError: none; lists the columns there are.
    """
    hint = "--sequence-column names it"
    if config.sequence_column:
        return Header(tuple(names), ",", 0).require([config.sequence_column], where=where, hint=hint)
    by_lower = {name.lower(): name for name in reversed(names)}
    wanted = SEQUENCE_NAMES[config.alphabet]
    if not config.inputs:  # only looked at: any of them
        wanted = tuple(
            dict.fromkeys([*wanted, *(name for named in SEQUENCE_NAMES.values() for name in named)])
        )
    found = [by_lower[name] for name in wanted if name in by_lower]
    return found[0] if found else Header(tuple(names), ",", 0).require(wanted[:1], where=where, hint=hint)


def read_table(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a CSV or TSV file with a header line.

    A column whose values in the first batch are all numbers gives numeric labels, later values that are no
    numbers then stay texts; `description`, `organism`, `taxon_id` and `text` go to the columns of that name.

    Yields:
        Batches of `RAW_SCHEMA`, and behind it `text` where the file has it.

    Raises:
        DataError: no column of sequences, or no table.
    """
    path = Path(path)
    config = config or config_for(alphabet)
    log = log or RuleLog(file=path.name)
    with open_binary(path) as stream:
        if not has_more(stream):
            return
        header = read_header(stream, where=path)
        columns = _Columns(header.names, config, where=path)
        for frame, lines in read_rows(stream, header, where=path, log=log, nulls=_NULLS):
            yield columns.batch(frame.with_columns(pl.Series(_LINE, lines)), log)


def read_parquet(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file; columns of lists or structures are left out (`column-left-out`).

    Yields:
        Batches of `RAW_SCHEMA`.

    Raises:
        DataError: no column of sequences, or a damaged file.
    """
    path = Path(path)
    config = config or config_for(alphabet)
    log = log or RuleLog(file=path.name)
    with _opened(path) as file:
        schema = file.schema_arrow
        flat = [f.name for f in schema if not pa.types.is_nested(f.type)]
        if left := sorted(set(schema.names) - set(flat)):
            log.change("column-left-out", ids=left, detail="a list or structure is no label")
        columns = _Columns(flat, config, where=path)
        done = 0
        for batch in _pieces(file, path, flat):
            frame = pl.DataFrame(batch)
            frame = frame.with_columns(
                pl.col(pl.Binary, pl.Categorical, pl.Date, pl.Datetime).cast(pl.String)
            )
            if not columns.id:
                log.change("id-made-up", frame.height)
                numbers = pl.Series(np.arange(done + 1, done + frame.height + 1)).cast(pl.String)
                frame = frame.with_columns(pl.concat_str([pl.lit("row-"), numbers]).alias(_MADE_UP))
            done += frame.height
            yield columns.batch(frame, log)


def read_seqloom(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file of a dataset of this program, without loss; cluster and split are made anew.

    Yields:
        Batches of `RAW_SCHEMA`, and behind it the columns `parent`, `start`, `end`, `strand` and `text`.

    Raises:
        DataError: another alphabet than asked for, or a damaged file.
    """
    path = Path(path)
    wanted = config.alphabet if config else alphabet
    with _opened(path) as file:
        names = [n for n in file.schema_arrow.names if n in SCHEMA.names]
        for batch in _pieces(file, path, names):
            frame = pl.DataFrame(batch.select(["alphabet"]))
            other = (
                frame.filter(pl.col("alphabet") != wanted)["alphabet"] if wanted else frame["alphabet"][:0]
            )
            if len(other):
                raise DataError(f"these are sequences of {other[0]}, not {wanted}", where=path,
                                hint=f"--alphabet {other[0]}")  # fmt: skip
            columns = {name: batch[name] for name in ("id", "sequence", "description", "organism", "taxon_id",
                                                     "features", "labels")}  # fmt: skip
            rows = raw_batch(columns)
            for name in _KEPT:
                if name in batch.schema.names:
                    rows = rows.append_column(SCHEMA.field(name), batch[name])
            yield rows


class _Columns:
    """What the columns of a table are taken for."""

    def __init__(self, names: Sequence[str], config: ReadConfig, *, where: Path) -> None:
        self.sequence = sequence_column(names, config=config, where=where)
        by_lower = {name.lower(): name for name in reversed(names)}
        self.id = next((by_lower[n] for n in ID_NAMES if n in by_lower and by_lower[n] != self.sequence), "")
        if config.id_column:
            self.id = Header(tuple(names), ",", 0).require(
                [config.id_column], where=where, hint="--id-column names it"
            )
        self.labels = [n for n in names if n not in (self.sequence, self.id, *_COLUMNS)]
        self.is_number: dict[str, bool] | None = None

    def batch(self, frame: pl.DataFrame, log: RuleLog) -> pa.RecordBatch:
        """Rows of `RAW_SCHEMA`; lines and made-up ids are in columns of our own."""
        if self.is_number is None:
            self.is_number = {name: _all_numbers(frame[name]) for name in self.labels}
        known = self.id or (_MADE_UP if _MADE_UP in frame.columns else "")
        ids = frame[known] if known else pl.Series([""]).new_from_index(0, frame.height)
        columns = {"id": ids.cast(pl.String).fill_null(""), "sequence": frame[self.sequence].cast(pl.String)}
        columns |= {
            name: frame[name].cast(pl.String) for name in ("description", "organism") if name in frame.columns
        }
        if "taxon_id" in frame.columns:
            columns["taxon_id"] = frame["taxon_id"].cast(pl.Int64, strict=False)
        if _LINE in frame.columns:
            columns["line"] = frame[_LINE]
        labels = label_lists(
            frame.height, [pair for name in self.labels for pair in self._label(frame[name])]
        )
        batch = raw_batch({**columns, "labels": labels})
        if _TEXT in frame.columns:
            texts = frame[_TEXT].cast(pl.String).to_arrow()
            batch = batch.append_column(SCHEMA.field(_TEXT), texts.cast(SCHEMA.field(_TEXT).type))
        none = columns["sequence"].is_null().to_arrow()
        if not none.true_count:
            return batch
        log.drop(
            "no-sequence", batch["id"].filter(none), lines=batch["line"].filter(none), detail="empty cell"
        )
        return batch.filter(columns["sequence"].is_not_null().to_arrow())

    def _label(self, column: pl.Series) -> list[tuple[str, pl.Series | str | float | None]]:
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            return [(column.name, column.cast(pl.Float64))]
        if not (self.is_number or {}).get(column.name):
            return [(column.name, column.cast(pl.String))]
        numbers = _numbers(column)
        rest = column.set(numbers.is_not_null(), None)
        pairs: list[tuple[str, pl.Series | str | float | None]] = [(column.name, numbers)]
        return pairs if rest.null_count() == len(rest) else [*pairs, (column.name, rest)]


def _all_numbers(column: pl.Series) -> bool:
    known = column.drop_nulls()
    return column.dtype == pl.String and len(known) > 0 and not _numbers(known).null_count()


def _numbers(column: pl.Series) -> pl.Series:
    """Numbers, and true and false as 1 and 0."""
    booleans = {"true": 1.0, "false": 0.0, "True": 1.0, "False": 0.0, "TRUE": 1.0, "FALSE": 0.0}
    named = column.replace_strict(booleans, default=None, return_dtype=pl.Float64)
    work = pl.DataFrame({"a": column.cast(pl.Float64, strict=False), "b": named})
    return work.select(pl.coalesce("a", "b")).to_series()


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as Parquet: {str(error).splitlines()[0]}", where=path) from error


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _pieces(file: pq.ParquetFile, path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of about `_BATCH_BYTES`, by the size of the rows that the file states."""
    bytes_, rows = 0, max(file.metadata.num_rows, 1)
    for group in range(file.metadata.num_row_groups):
        bytes_ += file.metadata.row_group(group).total_byte_size
    size = int(np.clip(_BATCH_BYTES * rows // max(bytes_, 1), 16, 65_536))
    try:
        for batch in file.iter_batches(batch_size=size, columns=list(names)):
            # Parquet itself does not see to it that texts are UTF-8; dictionaries are not looked into
            batch = pa.record_batch([_plain(column) for column in batch.columns], names=batch.schema.names)
            batch.validate(full=True)
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as Parquet: {str(error).splitlines()[0]}", where=path) from error
