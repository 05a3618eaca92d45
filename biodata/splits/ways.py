"""The ways to split: which rows stay together, and which split a row must be in.

A way only makes units. `biodata.splits.split` puts units into splits, repairs what is alike across them and
has the result audited, the same for every way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.catalog import Catalog
from biodata.errors import ConfigError
from biodata.schema import SPLITS
from biodata.similarity.cluster import cluster, renumbered
from biodata.similarity.search import Hits, lengths_of
from biodata.similarity.sketch import greedy_clusters
from biodata.splits.columns import Columns, codes_of
from biodata.splits.config import SplitConfig
from biodata.splits.repair import join_labels

SPLITTERS = Catalog(
    "split",
    {
        "cluster": "biodata.splits.ways:by_cluster",
        "random": "biodata.splits.ways:by_random",
        "group": "biodata.splits.ways:by_group",
        "taxon": "biodata.splits.ways:by_taxon",
        "time": "biodata.splits.by_time:by_time",
        "scaffold": "biodata.splits.by_scaffold:by_scaffold",
    },
)

_QUALIFIERS = ("candidatus", "uncultured", "unclassified", "unidentified", "synthetic", "endosymbiont")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a way may look at.

    Attributes:
        sequences: normalised (`biodata.mmseqs.normalised`).
        columns: what `biodata.splits.columns.read_columns` gave.
        links: similar pairs of rows.
        workdir: for temporary folders.
    """

    sequences: pa.ChunkedArray
    alphabet: str
    columns: Columns
    links: Hits
    workdir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What a way makes of the rows.

    Attributes:
        labels: int64 unit of every row, 0 to units - 1.
        whole: units never part. Those of LinClust may where rows that must stay together chain too many.
        place: int8 split that a row must be in, -1 for any.
        info: figures for the manifest, `method` first.
    """

    labels: np.ndarray
    whole: bool
    place: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)


Splitter = Callable[[Rows, SplitConfig], Units]


def by_cluster(rows: Rows, config: SplitConfig) -> Units:
    """LinClust clusters; of rows too long to align those of their sketches."""
    found = cluster(rows.sequences, alphabet=rows.alphabet, identity=config.identity,
                    coverage=config.coverage, workdir=rows.workdir, threads=config.threads)  # fmt: skip
    labels = renumbered(greedy_clusters(found.labels, rows.links, lengths_of(rows.sequences)))
    info = {"method": "LinClust", "command": found.command, "version": found.version,
            "clustered_by_equality_only": found.too_short}  # fmt: skip
    return Units(labels=labels, whole=False, place=anywhere(len(labels)), info=info)


def by_random(rows: Rows, config: SplitConfig) -> Units:
    """Every row for itself."""
    count = len(rows.sequences)
    return Units(labels=np.arange(count), whole=True, place=anywhere(count), info={"method": "random"})


def by_group(rows: Rows, config: SplitConfig) -> Units:
    """Rows equal in all columns of `config.group`; a row that lacks one is a group of its own."""
    count = len(rows.sequences)
    codes = codes_of(rows.columns, config.group, count)
    info = {"method": "group", "columns": list(config.group), "rows_without_value": int((codes < 0).sum())}
    units = Units(labels=units_of(codes), whole=True, place=anywhere(count), info=info)
    return _held_out(units, [rows.columns[name] for name in config.group], config)


def by_taxon(rows: Rows, config: SplitConfig) -> Units:
    """Whole taxa; a row without one is a taxon of its own."""
    name = "taxon_id" if config.taxon == "taxon_id" else "organism"
    column = rows.columns[name]
    if config.taxon in ("genus", "species"):
        words = 1 if config.taxon == "genus" else 2
        distinct = {text: taxon_name(text, words=words) for text in column.unique().to_pylist() if text}
        column = pa.chunked_array(
            [pa.array([distinct.get(text) for text in column.to_pylist()], pa.string())]
        )
    codes = codes_of({"taxon": column}, ["taxon"], len(column))
    info = {"method": "taxon", "taxon": config.taxon, "rows_without_value": int((codes < 0).sum())}
    units = Units(labels=units_of(codes), whole=True, place=anywhere(len(column)), info=info)
    return _held_out(units, [column], config)


def taxon_name(organism: str, *, words: int) -> str:
    """The first words of an organism's name that are the name of a taxon.

    >>> taxon_name("Escherichia coli K-12", words=1), taxon_name("Candidatus Pelagibacter ubique", words=1)
    ('Escherichia', 'Pelagibacter')
    >>> taxon_name("[Clostridium] scindens ATCC 35704", words=2)
    'Clostridium scindens'
    """
    parts = re.sub(r"[\[\]'\"]", "", organism).split()
    while len(parts) > 1 and parts[0].lower() in _QUALIFIERS:
        parts = parts[1:]
    return " ".join(parts[:words])


def anywhere(rows: int) -> np.ndarray:
    """The place of rows that may be in any split."""
    return np.full(rows, -1, np.int8)


def units_of(codes: np.ndarray) -> np.ndarray:
    """Labels of codes, every row of code -1 for itself.

    >>> units_of(np.array([5, -1, 5, -1]))
    array([0, 1, 0, 2])
    """
    return renumbered(np.where(codes < 0, codes.max(initial=0) + 1 + np.arange(len(codes)), codes))


def kept_together(columns: Columns, names: tuple[str, ...], rows: int) -> np.ndarray:
    """Labels under which rows with an equal value in one of the columns are together.

    Args:
        columns: what `biodata.splits.columns.read_columns` gave.
        names: columns looked at; those that are not there are passed over.
        rows: how many there are.
    """
    labels = np.arange(rows)
    for name in names:
        if name in columns:
            labels = join_labels(labels, units_of(codes_of(columns, [name], rows)))
    return labels


def _held_out(units: Units, columns: list[pa.ChunkedArray], config: SplitConfig) -> Units:
    """Units with the places of values that are named."""
    if not config.named:
        return units
    place = anywhere(len(units.labels))
    for number, names in ((1, config.validation_values), (2, config.test_values)):
        for name in names:
            found = np.zeros(len(place), bool)
            for column in columns:
                found |= np.array([text == name for text in column.to_pylist()])
            if not found.any():
                raise ConfigError(f"no row has the value {name!r}, which is to be {SPLITS[number]}")
            place[found] = number
    named = {"validation_values": list(config.validation_values), "test_values": list(config.test_values)}
    return replace(units, place=place, info=units.info | named)
