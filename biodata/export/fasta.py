"""FASTA files, one for each split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from biodata.dataset import Dataset
from biodata.errors import DataError
from biodata.export.config import ExportConfig, filled_splits, named
from biodata.files import atomic_path
from biodata.progress import progress

LINE = 80
"""Letters of a line of sequence."""

_ROWS = 4096
_BREAK = re.compile(r"[\r\n]+")


def export_fasta(config: ExportConfig, dataset: Dataset) -> dict[str, Any]:
    """Writes `OUT_SPLIT.fasta`: a header of id and description, lines of 80 letters.

    Raises:
        DataError: an id with white space, which would end there; or an alphabet that FASTA cannot hold.
    """
    if dataset.alphabet == "selfies":
        raise DataError("SELFIES are no FASTA", where=config.data, hint="use --to hf")
    files, rows = [], {}
    for split in filled_splits(config, dataset):
        path = named(config.out, split, ".fasta")
        with atomic_path(path) as part, progress(f"writing {split}", dataset.splits[split]) as advance:
            rows[split] = 0
            with open(part, "w", encoding="utf-8", newline="\n") as handle:
                for count, text in _texts(dataset, split):
                    handle.write(text)
                    rows[split] += count
                    advance(count)
        files.append(str(path))
    return {"rows": rows, "files": files}


def _texts(dataset: Dataset, split: str) -> Iterator[tuple[int, str]]:
    for path in dataset.files(split):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS, columns=["id", "sequence", "description"]):
                yield batch.num_rows, _text(pl.DataFrame(batch), path)


def _text(rows: pl.DataFrame, path: Path) -> str:
    wrong = rows["id"].filter(rows["id"].str.contains(r"\s") | (rows["id"] == ""))
    if len(wrong):
        raise DataError(f"id {wrong[0]!r} cannot be a FASTA id", where=path, hint="ids have no white space")
    description = pl.col("description").str.replace_all(r"[\r\n]+", " ").str.strip_chars()
    header = pl.format(">{} {}", "id", description).str.strip_chars_end()
    body = pl.col("sequence").str.replace_all(rf"(.{{{LINE}}})", "${1}\n").str.strip_chars_end("\n")
    return rows.select(pl.format("{}\n{}\n", header, body).str.join("")).item()
