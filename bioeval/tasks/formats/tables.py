"""CSV, TSV and Parquet: FLIP, ProteinGym, MoleculeNet, GUE, VDJdb and whatever else has a header line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from biodata.arrays import arrow_stream
from biodata.errors import DataError
from biodata.io.tables import separator_of
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.find import opened
from bioeval.tasks.rows import Rows


def read_table_rows(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """A table of text with a header line; separated by tabs if that has one, else by commas.

    Args:
        path: the file, of any compression, or a zip archive.
        config: `data.member` of the archive.
        wanted: columns to read; the others are only named in messages.

    Raises:
        DataError: it is no such table.
    """
    with opened(path, config.data.member) as stream:
        data = stream.read()
    head = data.split(b"\n", 1)[0].decode("utf-8", "replace").lstrip("\ufeff").rstrip("\r")
    separator = separator_of(head)
    try:
        names = pa_csv.open_csv(
            arrow_stream(data), parse_options=pa_csv.ParseOptions(delimiter=separator)
        ).schema.names
        table = pa_csv.read_csv(
            arrow_stream(data),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=True,
                null_values=[""],
                include_columns=[name for name in names if name in wanted] or names[:1],
            ),
            parse_options=pa_csv.ParseOptions(newlines_in_values=False, delimiter=separator),
        )  # fmt: skip
    except pa.ArrowInvalid as error:
        what = str(error).splitlines()[0]
        raise DataError(f"not a CSV table: {what}", where=path) from error
    check_columns(path, names, wanted)
    n = table.num_rows
    return Rows(table=table, files=(str(path),), file_of=np.zeros(n, np.int64), lines=np.arange(2, n + 2))


def read_parquet_rows(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """A Parquet file; columns of lists (one entry for each unit) stay lists of texts, those of lists of lists
    (pairs of positions) become whole numbers, others texts.

    Raises:
        DataError: it is none, or a column holds something else.
    """
    del config
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        table = file.read(columns=[name for name in names if name in wanted])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"not a Parquet file: {str(error).splitlines()[0]}", where=path) from error
    check_columns(path, names, wanted)
    return plain_rows(table, path)


def plain_rows(table: pa.Table, path: Path) -> Rows:
    """The rows of a table whose columns have types: texts, lists of texts, lists of lists of whole numbers.

    Raises:
        DataError: a column holds something else.
    """
    for at, field in enumerate(table.schema):
        table = table.set_column(at, field.name, _as_texts(table.column(at), field, path))
    n = table.num_rows
    return Rows(table=table, files=(str(path),), file_of=np.zeros(n, np.int64), lines=np.arange(1, n + 1))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _as_texts(column: pa.ChunkedArray, field: pa.Field, path: Path) -> pa.ChunkedArray:
    kind = pa.large_string()
    if _is_list(field.type):
        nested = _is_list(field.type.value_type)
        kind = pa.list_(pa.list_(pa.int64())) if nested else pa.list_(pa.large_string())
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"column {field.name!r} holds {field.type}, texts, numbers or lists expected",
                        where=path) from error  # fmt: skip


def check_columns(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuses a table without a column that is wanted.

    Args:
        path: of the table.
        names: of its columns.
        wanted: of columns; `{split}` and `{class}` are no columns.

    Raises:
        DataError: the first that is missing, and the columns there are.
    """
    missing = [name for name in wanted if name not in names and not name.startswith("{")]
    if missing:
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        raise DataError(f"no column {missing[0]!r}", where=path, hint=f"columns: {shown}")
