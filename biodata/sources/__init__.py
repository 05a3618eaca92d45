"""One file per archive that sequences come from; `SOURCES` is their table."""

from __future__ import annotations

from biodata.catalog import Catalog

SOURCES = Catalog("source", {"local": "biodata.sources.local:find_files"})
"""Name to a function from inputs to `biodata.sources.local.SourceFile` objects."""
