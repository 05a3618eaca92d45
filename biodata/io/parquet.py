"""How Parquet is written everywhere: the settings that were measured, and that give equal bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

# Columns whose values repeat; for the others a dictionary only costs time, then is thrown away.
_REPEATING = ("alphabet", "source", "organism", "taxon_id", "split")
# Hexadecimal digits of a hash: packing them costs more time than writing them.
_PLAIN = ("checksum",)


def parquet_options(schema: pa.Schema, *, temporary: bool = False, long: bool = False) -> dict[str, Any]:
    """Keyword arguments of `pyarrow.parquet.ParquetWriter` and `write_table` for a schema.

    zstd at level 1 for files that stay: on 532 MB of protein records as much processor time as snappy (what
    packing costs more, writing costs less) and 44 % fewer bytes; on DNA 36 % fewer bytes for twice the time,
    so that files which are read once and removed are packed with snappy. No statistics: nobody asks for
    ranges of sequences. Row groups are the caller's: 16 to 64 MB of rows each keep memory small and readers
    parallel.

    Args:
        schema: columns of the file.
        temporary: whether the file is only a step on the way to another.
        long: whether single values are so long that copies of one count. A value is one page: of version 1
            the writer holds it plain, plain with its levels, and packed; of version 2 plain once, and packed
            twice, so that packing well saves memory, too (1.6 instead of 2.5 times a chromosome).

    The same rows in the same row groups give the same bytes with one version of pyarrow.

    >>> from biodata.schema import SCHEMA
    >>> options = parquet_options(SCHEMA)
    >>> options["compression"]["sequence"], options["compression"]["checksum"]
    ('zstd', 'none')
    """
    packed = [
        leaf for field in schema if field.name not in _PLAIN for leaf in _leaves(field.name, field.type)
    ]
    plain = [name for name in _PLAIN if name in schema.names]
    codec = "snappy" if temporary and not long else "zstd"
    return {
        "compression": dict.fromkeys(packed, codec) | dict.fromkeys(plain, "none"),
        "compression_level": dict.fromkeys(packed, 1) if codec == "zstd" else None,
        "data_page_version": "2.0" if long else "1.0",
        "use_dictionary": [name for name in _REPEATING if name in schema.names],
        "write_statistics": False,
    }


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    """Names of the Parquet columns of an Arrow column."""
    if pa.types.is_struct(kind):
        for field in kind.fields:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path
