"""Writes a dataset as documents of text and sequence for a joint tokenizer, one Parquet file a split.

Each row of `DIR/{train,validation,test}.parquet` has `id` (of its first row), `rows` (ids of all rows in it)
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
from biodata.dataset import Dataset, open_dataset
from biodata.files import atomic_path
from biodata.schema import SPLITS

SCHEMA = pa.schema([("id", pa.string()), ("rows", pa.list_(pa.string())), ("sequence", pa.large_string())])
_COLUMNS = ["id", "sequence", "alphabet", "text", "parent", "start"]
_BATCH_DOCUMENTS = 1024


def write_documents(dataset: Path, out: Path, config: InterleaveConfig | None = None) -> dict[str, Any]:
    """Writes the documents of a dataset.

    Args:
        dataset: folder of a finished dataset whose rows have texts.
        out: folder for the files; files of these names are replaced.
        config: order, length, seed.

    Returns:
        `path` and `documents` (number by split).

    Raises:
        DataError: no dataset there.
    """
    opened = open_dataset(dataset)
    counts = {split: _write(opened, split, Path(out), config or InterleaveConfig()) for split in SPLITS}
    return {"path": str(out), "documents": counts}


def _write(dataset: Dataset, split: str, out: Path, config: InterleaveConfig) -> int:
    documents = (d for path in dataset.files(split) for d in _documents(path, config))
    written = 0
    with atomic_path(out / f"{split}.parquet") as part, pq.ParquetWriter(part, SCHEMA) as writer:
        while some := list(islice(documents, _BATCH_DOCUMENTS)):
            columns = [[d.ids[0] for d in some], [list(d.ids) for d in some], [d.text for d in some]]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA)]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
            written += len(some)
    return written


def _documents(path: Path, config: InterleaveConfig) -> Iterator[Document]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from interleaved(file.read_row_group(group, columns=_COLUMNS), config)
