"""Measured properties from a table, joined to records by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import DataError
from biodata.schema import LABEL_TYPE


class LabelTable:
    """The labels of a CSV or TSV file with a column `id`; every other column is a label.

    A column whose values are all numbers (or true/false, as 1 and 0) becomes numeric labels, any other one
    texts. An empty cell is no label.

    Args:
        path: the file; comma or tab separated, by its header line.
        windows: whether a row `parent:start..end` without labels of its own takes those of `parent`.

    Raises:
        DataError: no `id` column, no other column, an empty or repeated id, or text that is no table.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.csv"
    ...     _ = path.write_text("id,stability,tissue\\na,0.5,leaf\\nb,,root\\n")
    ...     table = LabelTable(path)
    >>> [[x["name"] for x in row or []] for row in table.of(pa.array(["b", "z", "a"])).to_pylist()]
    [['tissue'], [], ['stability', 'tissue']]
    """

    def __init__(self, path: Path, *, windows: bool = False) -> None:
        frame = _read(path)
        self._windows = windows
        self.ids: pa.Array = frame["id"].to_arrow().cast(pa.string())
        self._labels = _label_column(frame.drop("id"))
        self._seen = np.zeros(len(self.ids), bool)

    def of(self, ids: pa.Array) -> pa.Array:
        """The labels of each id, an empty list for ids the table lacks; remembers which ids were asked."""
        known = pc.SetLookupOptions(self.ids)
        found = pc.call_function("index_in", [ids], known)
        if self._windows:
            cut = pc.ReplaceSubstringOptions(r":\d+\.\.\d+$", "")
            parents = pc.call_function("replace_substring_regex", [ids], cut)
            of_parent = pc.call_function("index_in", [parents], known)
            found = pc.call_function("coalesce", [found, of_parent])
        self._seen[found.drop_null().to_numpy(zero_copy_only=False)] = True
        # the row after the last label row is empty
        return self._labels.take(found.fill_null(len(self.ids)))

    def unmatched(self) -> pa.Array:
        """The ids of the table that no call of `of` asked for."""
        return self.ids.filter(pa.array(~self._seen))


def _read(path: Path) -> pl.DataFrame:
    try:
        with open(path, encoding="utf-8-sig") as handle:
            separator = "\t" if "\t" in handle.readline() else ","
        frame = pl.read_csv(
            path, separator=separator, infer_schema_length=None, schema_overrides={"id": pl.String}
        )
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        what = str(error).splitlines()[0]
        raise DataError(
            f"labels cannot be read: {what}", where=path, hint="CSV or TSV with a header"
        ) from error
    if "id" not in frame.columns or frame.width < 2:
        raise DataError(f"columns are {', '.join(frame.columns)}", where=path,
                        hint="an 'id' column and at least one more are needed")  # fmt: skip
    if frame["id"].null_count():
        line = int(frame["id"].is_null().arg_max() or 0) + 2
        raise DataError("empty id", where=f"{path}:{line}")
    twice = frame.filter(pl.col("id").is_duplicated())["id"]
    if len(twice):
        raise DataError(f"id {twice[0]!r} is there more than once", where=path, hint="one row per id")
    return frame


def _label_column(frame: pl.DataFrame) -> pa.Array:
    """Row by row the labels that are not null, and one empty row at the end."""
    names, values, texts, ends = [], [], [], [0]
    columns = [(c.name, _numbers(c), c.cast(pl.String).to_list()) for c in frame]
    for row in range(frame.height):
        for name, numbers, strings in columns:
            if strings[row] is not None:
                names.append(name)
                values.append(None if numbers is None else numbers[row])
                texts.append(strings[row] if numbers is None else None)
        ends.append(len(names))
    ends.append(len(names))
    arrays = [pa.array(names, pa.string()), pa.array(values, pa.float64()), pa.array(texts, pa.string())]
    flat = pa.StructArray.from_arrays(arrays, fields=list(LABEL_TYPE))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat)


def _numbers(column: pl.Series) -> list[float | None] | None:
    is_number = column.dtype.is_numeric() or column.dtype == pl.Boolean
    return column.cast(pl.Float64).to_list() if is_number else None


def concat_lists(first: pa.Array, second: pa.Array) -> pa.Array:
    """Row by row the items of two list columns of one type, null counting as empty.

    >>> concat_lists(pa.array([[1], None, [2]]), pa.array([[3, 4], [5], []])).to_pylist()
    [[1, 3, 4], [5], [2]]
    """
    sizes = [_sizes(column) for column in (first, second)]
    ends = np.concatenate([[0], np.cumsum(sizes[0] + sizes[1])]).astype(np.int32)
    owner = np.concatenate([np.repeat(np.arange(len(n)), n) for n in sizes])
    items = pa.concat_arrays([first.flatten(), second.flatten()])
    return pa.ListArray.from_arrays(pa.array(ends), items.take(pa.array(np.argsort(owner, kind="stable"))))


def _sizes(column: pa.Array) -> np.ndarray:
    return pc.call_function("list_value_length", [column]).fill_null(0).to_numpy(zero_copy_only=False)
