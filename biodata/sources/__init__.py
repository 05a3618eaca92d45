"""One file per archive that sequences come from; `SOURCES` is their table."""

from __future__ import annotations

from biodata.catalog import Catalog

SOURCES = Catalog(
    "source",
    {
        "refseq": "biodata.sources.refseq:SOURCE",
        "uniref": "biodata.sources.uniref:SOURCE",
    },
)
"""Name, the word before the colon of `refseq:viral`, to a `biodata.sources.protocol.Source`."""
