"""Writes a dataset as documents of text and sequence for a joint tokenizer, one Parquet file a split.

Each row of `OUT_train.parquet`, ... has `id` (of its first row), `rows` (ids of all rows in it)
and `sequence`: the document with its markers (`biodata.curate.interleave`). Rows never leave their split.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.interleave import Document, InterleaveConfig, interleaved
from biodata.dataset import Dataset
from biodata.export.config import ExportConfig, filled_splits, named
from biodata.files import atomic_path
from biodata.progress import progress

SCHEMA = pa.schema([("id", pa.string()), ("rows", pa.list_(pa.string())), ("sequence", pa.large_string())])
_COLUMNS = ["id", "sequence", "alphabet", "text", "parent", "start"]
_BATCH_DOCUMENTS = 1024


def export_documents(config: ExportConfig, dataset: Dataset) -> dict[str, Any]:
    """Writes `OUT_SPLIT.parquet`.

    Returns:
        `rows` (rows of the dataset by split), `documents` by split and `files`.

    Raises:
        ConfigError: an alphabet that the joint tokenizer does not read.
    """
    files, rows, documents = [], {}, {}
    for split in filled_splits(config, dataset):
        path = named(config.out, split, ".parquet")
        with progress(f"writing {split}"):
            rows[split], documents[split] = _write(dataset, split, path, config.documents)
        files.append(str(path))
    return {"rows": rows, "documents": documents, "files": files}


def _write(dataset: Dataset, split: str, out: Path, config: InterleaveConfig) -> tuple[int, int]:
    documents = (d for path in dataset.files(split) for d in _documents(path, config))
    rows = written = 0
    with atomic_path(out) as part, pq.ParquetWriter(part, SCHEMA) as writer:
        while some := list(islice(documents, _BATCH_DOCUMENTS)):
            columns = [[d.ids[0] for d in some], [list(d.ids) for d in some], [d.text for d in some]]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA)]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
            rows, written = rows + sum(len(d.ids) for d in some), written + len(some)
    return rows, written


def _documents(path: Path, config: InterleaveConfig) -> Iterator[Document]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from interleaved(file.read_row_group(group, columns=_COLUMNS), config)
