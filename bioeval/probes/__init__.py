"""Small models on frozen embeddings. To add one: one file with a `Probe`, one line here."""

from __future__ import annotations

from biodata.catalog import Catalog

PROBES = Catalog("probe", {"ridge": "bioeval.probes.ridge:Ridge"})
