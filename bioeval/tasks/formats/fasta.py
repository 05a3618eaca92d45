"""FASTA: targets in the header (FLIP, Nucleotide Transformer), or letter by letter in a second file (FLIP).

The columns are `id`, the first word of the header; `header`, all of it; `sequence`; and one for every
`KEY=VALUE` in it. With `data.labels` the column `Value` has the symbols of the record of equal id of that
file, whose own `KEY=VALUE` become columns; `data.mask` says with 0 and 1 which of them count.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from biodata.errors import ConfigError, DataError
from biodata.io.fasta import read_fasta
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.find import opened
from bioeval.tasks.rows import Rows

MASK = "{mask}"
"""Column of the mask of a row."""
_FIELD = re.compile(r"(?:^|\s)(\w+)=(\S+)")


def read_fasta_rows(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """The records of a FASTA file, with those of the files of labels and masks beside them.

    Args:
        path: the file, or a zip archive.
        config: `data.member`, `data.labels`, `data.mask`.
        wanted: columns that must be there.

    Raises:
        DataError: a record without labels, labels of another length, or no such column.
    """
    source = config.data
    records = _read(path, source.member)
    columns = dict(records)
    if source.labels is not None:
        labels = _read(*_beside(path, source.labels, source.member))
        index = {name: row for row, name in enumerate(labels["id"])}
        found = [index.get(name) for name in records["id"]]
        _check_pairs(path, source.labels, labels, index)
        columns |= {name: _taken(column, found) for name, column in labels.items()
                    if name not in ("id", "header", "sequence", "line")}  # fmt: skip
        columns[config.columns.value] = _taken(labels["sequence"], found)
    if source.mask is not None:
        masks = _read(*_beside(path, source.mask, source.member))
        index = dict(zip(masks["id"], masks["sequence"]))
        columns[MASK] = [index.get(name) for name in records["id"]]
    table = pa.table({name: pa.array(column, pa.large_string())
                      for name, column in columns.items() if name != "line"})  # fmt: skip
    missing = [name for name in wanted if name not in table.column_names and not name.startswith("{")]
    if missing:
        hint = f"columns: {', '.join(table.column_names)}"
        raise DataError(f"no column {missing[0]!r}", where=path, hint=hint)
    lines = np.array(records["line"], np.int64)
    return Rows(table=table, files=(str(path),), file_of=np.zeros(len(lines), np.int64), lines=lines)


def _check_pairs(path: Path, name: str, labels: dict[str, list], index: dict[str, int]) -> None:
    twice = len(labels["id"]) - len(index)
    if twice:
        raise DataError(f"{twice} ids of {name} are there more than once", where=path)


def _beside(path: Path, name: str, member: str | None) -> tuple[Path, str | None]:
    """Where a second file is: in the same archive, else beside the first, of any compression."""
    if member is not None:
        return path, name
    for suffix in ("", ".gz", ".zst", ".bz2"):
        if (found := path.parent / f"{name}{suffix}").is_file():
            return found, None
    raise ConfigError(f"{path.parent / name} is not there, it goes with {path.name}")


def _read(path: Path, member: str | None) -> dict[str, list]:
    """Columns of a FASTA file: id, header, sequence, line and the fields of the headers."""
    columns: dict[str, list] = {"id": [], "header": [], "sequence": [], "line": []}
    fields: list[dict[str, str]] = []
    with _plain(path, member) as file:
        for batch in read_fasta(file):
            ids, rest = batch["id"].to_pylist(), batch["description"].to_pylist()
            columns["id"] += ids
            columns["header"] += [f"{name} {text}".strip() for name, text in zip(ids, rest)]
            columns["sequence"] += batch["sequence"].to_pylist()
            columns["line"] += batch["line"].to_pylist()
            fields += [dict(_FIELD.findall(text)) for text in rest]
    if not columns["id"]:
        raise DataError("no records", where=member or path)
    for name in dict.fromkeys(key for field in fields for key in field):
        columns[name] = [field.get(name) for field in fields]
    return columns


@contextmanager
def _plain(path: Path, member: str | None) -> Iterator[Path]:
    if member is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="seqloom-") as folder, opened(path, member) as stream:
        file = Path(folder) / Path(member).name
        file.write_bytes(stream.read())
        yield file


def _taken(column: list, rows: list[int | None]) -> list:
    return [None if row is None else column[row] for row in rows]
