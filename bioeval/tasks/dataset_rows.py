"""A label of a dataset of seqloom as a task, on the splits that the dataset has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import ConfigError, DataError
from biodata.schema import SPLITS
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.formats.regions import COLUMN, unit_regions
from bioeval.tasks.rows import Rows

_COLUMNS = ("id", "sequence", "alphabet", "cluster", "split", "labels", "features")


def dataset_rows(folder: Path, config: TaskConfig) -> tuple[Rows, str, int]:
    """The labelled rows of a dataset, its alphabet, and the number of rows without the label.

    Args:
        folder: what `seqloom data build` wrote.
        config: `data.label`; `regions` takes the features of antibody chains, one label for every unit.

    Raises:
        ConfigError: no dataset there.
        DataError: no row has the label, it is no number, or there are several alphabets.
    """
    raw = pa.concat_tables([_part(folder, split) for split in SPLITS])
    alphabets = raw.column("alphabet").unique().to_pylist()
    if len(alphabets) != 1:
        raise DataError(f"alphabets {', '.join(alphabets)}, one expected", where=folder)
    name = str(config.data.label)
    found = _values(raw, config)
    has = np.array([value is not None for value in found], bool)
    if not has.any():
        names = sorted({x["name"] for row in raw.column("labels").to_pylist() for x in row or []})
        raise DataError(f"no row has the label {name!r}", where=folder,
                        hint=f"labels there: {', '.join(names) or 'none'}")  # fmt: skip
    _check_numbers(raw, found, folder, config)
    kept = raw.filter(pa.array(has))
    kind = pa.list_(pa.large_string()) if name == COLUMN and config.kind == "token" else pa.large_string()
    values = [value for value in found if value is not None]
    columns = {
        "id": kept.column("id").cast(pa.large_string()), "sequence": kept.column("sequence"),
        "split": kept.column("split").cast(pa.large_string()),
        "cluster": kept.column("cluster").cast(pa.large_string()), name: pa.array(values, kind),
    }  # fmt: skip
    n = len(values)
    rows = Rows(table=pa.table(columns), files=(str(folder),), file_of=np.zeros(n, np.int64),
                lines=np.flatnonzero(has) + 1)  # fmt: skip
    return rows, alphabets[0], len(found) - n


def _values(raw: pa.Table, config: TaskConfig) -> list[Any]:
    """The label of every row, None where it has none; for regions one label for every unit."""
    name, width = str(config.data.label), 3 if config.unit == "codon" else 1
    found: list[Any] = []
    for row in raw.select(["sequence", "labels", "features"]).to_pylist():
        if name == COLUMN and config.kind == "token":
            regions = unit_regions(row["features"] or [], len(row["sequence"]), width=width)
            found.append(regions if any(regions) else None)
        else:
            found.append(_label(row["labels"], name))
    return found


def _part(folder: Path, split: str) -> pa.Table:
    files = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        hint = "give the folder that `seqloom data build` wrote"
        raise ConfigError(f"no {split} shards in {folder / 'data'} ({hint})")
    try:
        return pa.concat_tables([pq.read_table(f, columns=list(_COLUMNS)) for f in files])
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataError(f"not a dataset of seqloom: {error}", where=folder) from error


def _label(labels: list[dict[str, Any]] | None, name: str) -> str | None:
    for label in labels or []:
        if label["name"] == name:
            return repr(label["value"]) if label["value"] is not None else label["text"]
    return None


def _check_numbers(raw: pa.Table, found: list[Any], folder: Path, config: TaskConfig) -> None:
    if config.by_class or config.kind == "token":
        return
    for row, value in enumerate(found):
        try:
            float(value or 0)
        except ValueError:
            where = f"{folder}, id {raw.column('id')[row]}"
            raise DataError(f"label {config.data.label!r} is no number", where=where) from None
