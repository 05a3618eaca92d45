"""Columns of labels and features built from plain columns, and batches of `RAW_SCHEMA` around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from biodata.io.raw import RAW_SCHEMA
from biodata.schema import ATTRIBUTE_TYPE, FEATURE_TYPE, LABEL_TYPE

Span: TypeAlias = "tuple[pl.Series, pl.Series]"
"""First position (0-based) and position after the last of a region, row by row; null where it is unknown."""


def label_lists(n: int, columns: Sequence[tuple[str, pl.Series | str | float | None]]) -> pa.Array:
    """Row by row the labels that are not null, in the order of the columns.

    Args:
        n: number of rows.
        columns: name and one value for all rows, or a column: texts as texts, numbers and booleans as
            numbers.

    >>> column = label_lists(2, [("v_call", pl.Series(["IGHV1", None])), ("redundancy", 2.0)])
    >>> column.to_pylist()[1]
    [{'name': 'redundancy', 'value': 2.0, 'text': None}]
    """
    names = [name for name, _ in columns]
    full = [_column(value, n) for _, value in columns]
    known = np.stack([c.is_not_null().to_numpy() for c in full], 1) if full else np.zeros((n, 0), bool)
    row, at = np.nonzero(known)
    pick = pa.array(at * n + row)
    texts = [
        c.to_arrow().cast(pa.string()) if c.dtype == pl.String else pa.nulls(n, pa.string()) for c in full
    ]
    values = [
        pa.nulls(n, pa.float64()) if c.dtype == pl.String else c.cast(pl.Float64).to_arrow() for c in full
    ]
    arrays = [
        pa.array(names, pa.string()).take(pa.array(at)),
        _joined(values, pa.float64()).take(pick),
        _joined(texts, pa.string()).take(pick),
    ]
    flat = pa.StructArray.from_arrays(arrays, fields=list(LABEL_TYPE))
    return pa.ListArray.from_arrays(_ends(known), flat)


def feature_lists(n: int, spans: Mapping[str, Span]) -> pa.Array:
    """Row by row the regions whose place is known, in the order of the names, all on strand 1.

    >>> span = (pl.Series([0, None]), pl.Series([9, None]))
    >>> [[(f["type"], f["end"]) for f in row] for row in feature_lists(2, {"CDR3": span}).to_pylist()]
    [[('CDR3', 9)], []]
    """
    known = np.zeros((n, len(spans)), bool)
    starts, ends = np.zeros((n, len(spans)), np.int64), np.zeros((n, len(spans)), np.int64)
    for i, (start, end) in enumerate(spans.values()):
        known[:, i] = (start.is_not_null() & end.is_not_null()).to_numpy()
        starts[:, i], ends[:, i] = start.fill_null(0).to_numpy(), end.fill_null(0).to_numpy()
    at = np.nonzero(known)[1]
    none = pa.StructArray.from_arrays([pa.array([], pa.string())] * 2, fields=list(ATTRIBUTE_TYPE))
    attributes = pa.ListArray.from_arrays(pa.array(np.zeros(len(at) + 1, np.int32)), none)
    arrays = [
        pa.array(list(spans), pa.string()).take(pa.array(at)),
        pa.array(starts[known]),
        pa.array(ends[known]),
        pa.array(np.ones(len(at), np.int8)),
        attributes,
    ]
    return pa.ListArray.from_arrays(
        _ends(known), pa.StructArray.from_arrays(arrays, fields=list(FEATURE_TYPE))
    )


def raw_batch(columns: Mapping[str, pa.Array | pl.Series | npt.NDArray[np.int64]]) -> pa.RecordBatch:
    """A batch of `RAW_SCHEMA`; `id` and `sequence` are needed, null texts become empty, the rest is null.

    >>> raw_batch({"id": pl.Series(["a"]), "sequence": pl.Series(["ACGT"])}).num_columns
    8
    """
    n = len(columns["id"])
    arrays = []
    for entry in RAW_SCHEMA:
        value = columns.get(entry.name)
        if value is None and entry.name == "description":
            value = pl.Series([""]).new_from_index(0, n)
        if isinstance(value, pl.Series):
            value = (
                value.fill_null("") if value.dtype == pl.String and not entry.nullable else value
            ).to_arrow()
        elif isinstance(value, np.ndarray):
            value = pa.array(value)
        arrays.append(pa.nulls(n, entry.type) if value is None else value.cast(entry.type))
    return pa.record_batch(arrays, schema=RAW_SCHEMA)


def _column(value: pl.Series | str | float | None, n: int) -> pl.Series:
    if isinstance(value, pl.Series):
        return value
    kind = pl.String if value is None or isinstance(value, str) else pl.Float64
    return pl.Series([value], dtype=kind).new_from_index(0, n)


def _joined(arrays: list[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays(arrays) if arrays else pa.array([], kind)


def _ends(known: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(known.sum(1))]).astype(np.int32))
