"""JSON lines: an object a line; its lists stay lists, as those of Parquet files do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pa_json

from biodata.arrays import arrow_stream
from biodata.errors import DataError
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.find import opened
from bioeval.tasks.formats.tables import check_columns, plain_rows
from bioeval.tasks.rows import Rows


def read_json_rows(path: Path, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    """The objects of a file of JSON lines.

    Args:
        path: the file, of any compression, or a zip archive.
        config: `data.member` of the archive.
        wanted: names to read.

    Raises:
        DataError: a line that is no JSON object, or whose values are of another type than those before.
    """
    with opened(path, config.data.member) as stream:
        data = stream.read()
    try:
        table = pa_json.read_json(arrow_stream(data), pa_json.ReadOptions(block_size=max(1, len(data))))
    except pa.ArrowInvalid as error:
        raise DataError(f"not JSON lines: {str(error).splitlines()[0]}", where=path) from error
    check_columns(path, table.column_names, wanted)
    return plain_rows(table.select([name for name in table.column_names if name in wanted]), path)
