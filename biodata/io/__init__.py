"""One reader and writer per file format; `READERS` is the table of the readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from biodata.catalog import Catalog
from biodata.curate.rules import RuleLog


class Reader(Protocol):
    """Reads one file of a format as batches of `biodata.io.raw.RAW_SCHEMA`, in order, in bounded memory.

    What cannot be read is counted and listed in `log`; `alphabet` lets formats that say what molecule a
    record is drop the others.
    """

    def __call__(
        self, path: Path, *, log: RuleLog | None = None, alphabet: str | None = None
    ) -> Iterator[pa.RecordBatch]: ...


READERS = Catalog(
    "format",
    {
        "fasta": "biodata.io.counted:read_fasta",
        "genbank": "biodata.io.genbank:read_genbank",
        "embl": "biodata.io.genbank:read_embl",
    },
)
"""Format, as `biodata.io.detect.detect_format` names it, to its `Reader`."""
