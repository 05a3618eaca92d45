"""The table every reader gives: records as they stand in a file, before any curation.

Letters, case and gaps are those of the file; nothing is validated here. `biodata.curate` turns such rows
into rows of `biodata.schema.SCHEMA`.
"""

from __future__ import annotations

import pyarrow as pa

from biodata.schema import FEATURE_TYPE, LABEL_TYPE

RAW_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.large_string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        # 1-based line of the record in the decompressed file, null where a format has no lines.
        pa.field("line", pa.int64()),
        pa.field("organism", pa.string()),
        pa.field("taxon_id", pa.int64()),
        pa.field("features", pa.list_(FEATURE_TYPE)),
        # what the format says of a record beyond the columns above: gene calls, cluster size, dates, ...
        pa.field("labels", pa.list_(LABEL_TYPE)),
    ]
)
