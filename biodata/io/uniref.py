"""UniRef as FASTA, whose headers say more than a name and a description.

`>UniRef90_Q1PS67 Telomerase reverse transcriptase n=8 Tax=Oryzias latipes TaxID=8090 RepID=TERT_ORYLA`

| field | FASTA header | XML (`biodata.io.uniref_xml`) |
|---|---|---|
| id | first word | `entry/@id` |
| description | cluster name | `name` without `Cluster: ` |
| organism, taxon_id | `Tax=`, `TaxID=`: what all members have in common | `common taxon`, `common taxon ID` |
| label `cluster_size` | `n=` | `member count` |
| label `representative` | `RepID=` | accession or id of the representative |
| label `updated` | - | `entry/@updated` |
| label `seed` | - | id of the member that the cluster was built from, where it is said |

The sequence is the representative's. It need not be the seed, so that sequences of different clusters can be
more alike than the level says (README of UniRef). `detect_format` tells such files by the first header; other
FASTA never comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.io import fasta
from biodata.io.nested import label_lists
from biodata.io.raw import RAW_SCHEMA

Header = tuple[str, int, str, int | None, str]
"""Cluster name, size, common taxon, its id, representative."""


def read_uniref_fasta(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Reads UniRef FASTA; see the table above.

    A header that is not of this form is left as it stands and counted (`uniref-header-unread`).

    Raises:
        ConfigError: there is no such file.
        DataError: as `biodata.io.fasta.read_fasta`.
    """
    del alphabet
    for batch in fasta.read_fasta(path, on_change=log.change if log is not None else None):
        yield _with_fields(batch, log)


def parse_header(text: str) -> Header | None:
    """The fields of a header behind the id, taken from the right because names contain `=`, too.

    >>> parse_header("K n=1 Tax=x-like n=2 Tax=Homo sapiens TaxID=9606 RepID=K_HUMAN")
    ('K n=1 Tax=x-like', 2, 'Homo sapiens', 9606, 'K_HUMAN')
    >>> parse_header("Cytochrome c n=1 Tax=unknown RepID=UPI000013EAA0")
    ('Cytochrome c', 1, 'unknown', None, 'UPI000013EAA0')
    >>> parse_header("Cytochrome c") is None
    True
    """
    rest, _, member = text.rstrip().rpartition(" RepID=")
    before, found, taxon_id = rest.rpartition(" TaxID=")
    if found and taxon_id.isdecimal() and len(taxon_id) <= 18:
        rest, number = before, int(taxon_id)
    else:
        number = None
    name, found, taxon = rest.rpartition(" Tax=")
    name, _, size = f" {name}".rpartition(" n=")
    if not (found and member and size.isdecimal() and len(size) <= 18) or " " in member:
        return None
    return name[1:], int(size), taxon, number, member


def _with_fields(batch: pa.RecordBatch, log: RuleLog | None) -> pa.RecordBatch:
    texts = batch["description"].to_pylist()
    found = [parse_header(text) for text in texts]
    none: tuple[None, ...] = (None,) * 5
    names, sizes, taxa, numbers, members = zip(*(f or none for f in found)) if found else ((),) * 5
    if log is not None and None in found:
        unread = pa.array([f is None for f in found])
        log.change("uniref-header-unread", ids=batch["id"].filter(unread), lines=batch["line"].filter(unread),
                   detail="no n=, Tax=, RepID= at the end")  # fmt: skip
    labels = [
        ("cluster_size", pl.Series(sizes, dtype=pl.Float64)),
        ("representative", pl.Series(members, dtype=pl.String)),
    ]
    columns = dict(zip(batch.schema.names, batch.columns))
    columns |= {
        "description": pa.array([t if n is None else n for n, t in zip(names, texts)], pa.string()),
        "organism": pa.array(taxa, pa.string()),
        "taxon_id": pa.array(numbers, pa.int64()),
        "labels": label_lists(batch.num_rows, labels),
    }
    return pa.record_batch(list(columns.values()), schema=RAW_SCHEMA)
