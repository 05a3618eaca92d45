"""Readers of formats without annotation, in the form that `READERS` lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.io import fasta


def read_fasta(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """`biodata.io.fasta.read_fasta` with its counts in the log; FASTA does not say what molecule it holds."""
    del alphabet
    return fasta.read_fasta(path, on_change=log.change if log is not None else None)
