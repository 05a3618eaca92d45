"""One file per archive that sequences come from; `SOURCES` is their table."""

from __future__ import annotations

from biodata.catalog import Catalog

SOURCES = Catalog(
    "source",
    {
        "oas": "biodata.sources.oas:SOURCE",
        "pubchem": "biodata.sources.pubchem:SOURCE",
        "refseq": "biodata.sources.refseq:SOURCE",
        "tcrdb": "biodata.sources.tcrdb:SOURCE",
        "uniref": "biodata.sources.uniref:SOURCE",
        "vdjdb": "biodata.sources.vdjdb:SOURCE",
        "zinc": "biodata.sources.zinc:SOURCE",
    },
)
"""Name, the word before the colon of `refseq:viral`, to a `biodata.sources.protocol.Source`."""
