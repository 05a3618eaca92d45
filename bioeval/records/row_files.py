"""Rows written piece by piece as Parquet, CSV, TSV or JSON lines, as the file's name says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import ConfigError
from biodata.files import atomic_path

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")


class RowFile(Protocol):
    """Takes tables of one schema."""

    def write(self, table: pa.Table) -> None:
        """Appends rows."""
        ...


def check_suffix(path: Path, allowed: tuple[str, ...] = SUFFIXES) -> None:
    """Refuses a name that does not say what the file is.

    Raises:
        ConfigError: naming the suffixes.
    """
    if Path(path).suffix not in allowed:
        raise ConfigError(f"out = {str(path)!r}, allowed: a name that ends in {', '.join(allowed)}")


@contextmanager
def row_file(path: Path, about: Mapping[str, Any]) -> Iterator[RowFile]:
    """A file that is there, whole, when the block has ended well.

    Args:
        path: its suffix is one of `SUFFIXES`.
        about: what the rows are; kept in the metadata of Parquet (`seqloom`), read when the first come.

    Raises:
        ConfigError: another suffix.
    """
    check_suffix(path)
    with atomic_path(Path(path)) as part:
        if Path(path).suffix == ".parquet":
            file = _Parquet(part, about)
            yield file
            file.close()
        else:
            with open(part, "wb") as stream:
                yield _Text(stream, Path(path).suffix)


class _Parquet:
    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self.about = path, about
        self.writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        metadata = {"seqloom": json.dumps(dict(self.about), sort_keys=True)}
        if self.writer is None:
            schema = table.schema.with_metadata(metadata)
            self.writer = pq.ParquetWriter(self.path, schema, compression="zstd", write_statistics=False)
        self.writer.write_table(table.replace_schema_metadata(metadata))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class _Text:
    def __init__(self, stream: Any, suffix: str) -> None:
        self.stream, self.suffix, self.begun = stream, suffix, False

    def write(self, table: pa.Table) -> None:
        import polars as pl

        frame = pl.DataFrame(table)
        if self.suffix == ".jsonl":
            frame.write_ndjson(self.stream)
        else:
            separator = "\t" if self.suffix == ".tsv" else ","
            frame.write_csv(self.stream, include_header=not self.begun, separator=separator)
        self.begun = True
