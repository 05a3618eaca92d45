"""A folder of one class with one sequence a text file (Genomic Benchmarks)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.rows import Rows


def read_texts(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """Every `*.txt` of a folder, sorted by name, as a row with the columns `id` and `sequence`.

    Raises:
        DataError: the folder has none.
    """
    del config, wanted
    files = sorted(path.glob("*.txt")) if path.is_dir() else []
    if not files:
        raise DataError(
            "no .txt files, one for each sequence", where=path, hint="is this the folder of a class?"
        )
    texts = ["".join(file.read_text().split()) for file in files]
    columns = {"id": [file.stem for file in files], "sequence": texts}
    table = pa.table({name: pa.array(column, pa.large_string()) for name, column in columns.items()})
    n = len(files)
    return Rows(table=table, files=tuple(map(str, files)), file_of=np.arange(n), lines=np.ones(n, np.int64))
