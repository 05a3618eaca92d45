"""What a split needs to know of rows besides their sequences: a few columns and labels, read in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.errors import ConfigError
from biodata.schema import SCHEMA
from biodata.splits.config import SplitConfig

_NOT_VALUES = ("features", "labels", "cluster", "split")
Columns = Mapping[str, pa.ChunkedArray]
"""Name to one text or null for each row; `sequence` as it was read, where molecules need it."""


def needed(config: SplitConfig, *, alphabet: str = "") -> dict[str, bool]:
    """Names of the columns or labels that a split looks at, and whether it cannot do without them."""
    names = dict.fromkeys(config.keep_together, False)
    if config.by == "group":
        names |= dict.fromkeys(config.group, True)
    if config.by == "taxon":
        names["taxon_id" if config.taxon == "taxon_id" else "organism"] = True
    if config.by == "time":
        names[config.date] = True
    if config.by == "scaffold" or (config.tanimoto > 0 and alphabet in ("", "selfies")):
        names["sequence"] = True
    return names


def read_columns(paths: Sequence[Path], config: SplitConfig, *, alphabet: str = "") -> Columns:
    """The columns of `needed` from files of `SCHEMA`, as texts; labels by their name, numbers without `.0`.

    Args:
        paths: Parquet files of `SCHEMA`, in order.
        config: the way to split, and what must stay together.
        alphabet: selfies also needs the molecules as they are written.

    Raises:
        ConfigError: no row has a column or label that the split cannot do without.
    """
    names = needed(config, alphabet=alphabet)
    direct = [name for name in names if name in SCHEMA.names and name not in _NOT_VALUES]
    labels = [name for name in names if name not in direct]
    parts: dict[str, list[pa.Array]] = {name: [] for name in names}
    seen: set[str] = set()
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(columns=[*direct, *(["labels"] if labels else [])]):
            for name in direct:
                parts[name].append(pc.cast(batch[name], pa.large_string()))
            if labels:
                for name, values in label_texts(batch["labels"], labels, seen).items():
                    parts[name].append(values)
    columns = {name: pa.chunked_array(chunks, pa.large_string()) for name, chunks in parts.items()}
    _check_present(columns, names, seen)
    return columns


def label_texts(column: pa.Array, names: Sequence[str], seen: set[str]) -> dict[str, pa.Array]:
    """The labels of these names row by row, null where a row has none; all names met are added to `seen`.

    Args:
        column: the column `labels` of `SCHEMA`.
        names: labels wanted.
        seen: changed in place.
    """
    items, rows = column.flatten(), pc.call_function("list_parent_indices", [column])
    keys = items.field("name")
    seen.update(keys.unique().to_pylist())
    found = {}
    for name in names:
        here = pc.call_function("equal", [keys, pa.scalar(name)])
        chosen, owner = items.filter(here), rows.filter(here).to_numpy(zero_copy_only=False)
        texts = [
            _text(item["value"]) if item["text"] is None else item["text"] for item in chosen.to_pylist()
        ]
        place = np.full(len(column), len(texts), np.int64)
        place[owner[::-1]] = np.arange(len(texts))[::-1]  # of labels given twice the first counts
        found[name] = pa.array([*texts, None], pa.large_string()).take(pa.array(place))
    return found


def codes_of(columns: Columns, names: Sequence[str], rows: int) -> np.ndarray:
    """int64 number of each row's combination of values, -1 where one of them is missing or empty.

    Args:
        columns: what `read_columns` gave.
        names: columns whose values are combined.
        rows: how many there are.

    >>> columns = {"study": pa.chunked_array([["a", "b", "a", None]])}
    >>> codes_of(columns, ["study"], 4)
    array([ 1,  2,  1, -1])
    """
    total = np.zeros(rows, np.int64)
    missing = np.zeros(rows, bool)
    for name in names:
        column = columns[name].combine_chunks()
        empty = pc.call_function("equal", [column, pa.scalar("", column.type)])
        column = pc.call_function("if_else", [empty, pa.scalar(None, column.type), column])
        encoded = pc.call_function("dictionary_encode", [column])
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        missing |= codes < 0
        _, total = np.unique(total * (len(encoded.dictionary) + 1) + codes + 1, return_inverse=True)
        total = total.reshape(-1).astype(np.int64)
    return np.where(missing, -1, total)


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.15g}"


def _check_present(columns: Columns, names: Mapping[str, bool], labels: set[str]) -> None:
    for name, required in names.items():
        if required and columns[name].null_count == len(columns[name]):
            known = ", ".join(sorted(labels)) or "none"
            allowed = [field for field in SCHEMA.names if field not in (*_NOT_VALUES, "sequence")]
            raise ConfigError(f"no row has a column or label {name!r} to split by (labels: {known}; columns: "
                              f"{', '.join(allowed)})")  # fmt: skip
