"""One reader and writer per file format; `READERS` is the table of the readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from biodata.catalog import Catalog
from biodata.curate.rules import RuleLog

if TYPE_CHECKING:
    from biodata.read_config import ReadConfig


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
        "airr": "biodata.io.airr:read_airr",
        "embl": "biodata.io.genbank:read_embl",
        "fasta": "biodata.io.counted:read_fasta",
        "fastq": "biodata.io.fastq:read_fastq",
        "genbank": "biodata.io.genbank:read_genbank",
        "oas": "biodata.io.oas:read_oas",
        "parquet": "biodata.io.delimited:read_parquet",
        "seqloom": "biodata.io.delimited:read_seqloom",
        "smiles": "biodata.io.smiles:read_smiles",
        "table": "biodata.io.delimited:read_table",
        "tcrdb": "biodata.io.tcrdb:read_tcrdb",
        "uniref": "biodata.io.uniref:read_uniref_fasta",
        "uniref-xml": "biodata.io.uniref_xml:read_uniref_xml",
        "vdjdb": "biodata.io.vdjdb:read_vdjdb",
    },
)
"""Format, as `biodata.io.detect.detect_format` names it, to its `Reader`."""

CONFIGURED = frozenset({"airr", "oas", "parquet", "seqloom", "smiles", "table", "tcrdb", "vdjdb"})
"""Formats whose readers also take `config`: which column, region or chain is wanted."""

CUT_FROM = frozenset({"genbank", "embl"})
"""Formats of annotated records, from which coding sequences are cut; in all others a row is one already."""


def open_records(path: Path, format: str, *, config: ReadConfig, log: RuleLog) -> Iterator[pa.RecordBatch]:
    """The records of a file as its reader gives them, read as the configuration says.

    Args:
        path: the file.
        format: as `detect_format` names it.
        config: alphabet, columns, regions.
        log: the book of the file.
    """
    reader = READERS.load(format)
    if format in CONFIGURED:
        return reader(path, log=log, alphabet=config.alphabet, config=config)
    return reader(path, log=log, alphabet=config.alphabet)
