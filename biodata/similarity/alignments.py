"""Alignments as MMseqs2 writes them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

_COLUMNS = (
    "query", "target", "nident", "alnlen", "qstart", "qend", "qlen", "tstart", "tend", "tlen",
)  # fmt: skip
ALIGNMENT_FORMAT = ",".join(_COLUMNS)
"""What `convertalis` is to write for `read_alignments`."""


class Alignments(NamedTuple):
    """One entry an alignment.

    Attributes:
        query: int64 row numbers.
        target: int64 row numbers.
        identity: matching columns / columns, 0 to 1.
        query_cover: fraction of the query in the alignment, above 0, at most 1.
        target_cover: the same of the target.
        query_is_longer: whether the query has more letters than the target.
    """

    query: np.ndarray
    target: np.ndarray
    identity: np.ndarray
    query_cover: np.ndarray
    target_cover: np.ndarray
    query_is_longer: np.ndarray


def read_alignments(path: Path) -> Alignments:
    """The alignments of a table without header, in the order of its lines; none of an empty file."""
    if path.stat().st_size == 0:
        none = np.zeros(0, np.int64)
        return Alignments(none, none, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, bool))
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=list(_COLUMNS)),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t"),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.int64())),
    )
    column = {name: table[name].to_numpy() for name in _COLUMNS}
    # A hit on the reverse strand has its query or target positions exchanged.
    return Alignments(
        query=column["query"],
        target=column["target"],
        identity=column["nident"] / np.maximum(column["alnlen"], 1),
        query_cover=(np.abs(column["qend"] - column["qstart"]) + 1) / column["qlen"],
        target_cover=(np.abs(column["tend"] - column["tstart"]) + 1) / column["tlen"],
        query_is_longer=column["qlen"] > column["tlen"],
    )
