"""Balances groups of rows: temperature sampling without replacement, and a cap on rows of one cluster.

Of G groups with n_i rows a sample of M rows takes k_i = min(n_i, c n_i^(1/T)) rows of group i, with c such
that the k_i add up to M: T = 1 keeps the shares, larger T flattens them (temperature sampling of languages,
arXiv:1907.05019, section 4.1), and 0 stands for equal shares. No row is taken twice, so a group that runs out
leaves its share to the others.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import ConfigError

COLUMNS = ("organism", "taxon_id", "source", "parent")
"""Columns that rows can be grouped by; other names are labels, `lineage:N` the first N names of a lineage."""


def sample_sizes(sizes: npt.NDArray[np.int64], rows: int, temperature: float) -> npt.NDArray[np.int64]:
    """Rows to take of every group, at most as many as it has.

    Args:
        sizes: rows of every group.
        rows: how many to take in all; all if there are not more.
        temperature: 1 or more, or 0 for equal shares.

    >>> sample_sizes(np.array([1000, 100, 10]), 150, 0), sample_sizes(np.array([900, 100]), 100, 1)
    (array([70, 70, 10]), array([90, 10]))
    """
    if rows >= sizes.sum():
        return sizes.copy()
    weights = np.ones(len(sizes)) if temperature == 0 else sizes ** (1.0 / temperature)
    taken = np.zeros(len(sizes))
    open_groups = sizes > 0
    while open_groups.any():
        left = rows - taken[~open_groups].sum()
        taken[open_groups] = left * weights[open_groups] / weights[open_groups].sum()
        full = open_groups & (taken >= sizes)
        if not full.any():
            break
        taken[full] = sizes[full]
        open_groups &= ~full
    whole = np.floor(taken + 1e-9).astype(np.int64)
    order = np.lexsort((np.arange(len(sizes)), -(taken - whole)))
    room = order[whole[order] < sizes[order]]
    whole[room[: rows - int(whole.sum())]] += 1
    return whole


def sampled(
    groups: npt.NDArray[np.int64], rows: int, *, temperature: float, seed: int
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Which rows a sample keeps.

    Args:
        groups: group of every row, 0 to G - 1.
        rows: how many to keep.
        temperature: see `sample_sizes`.
        seed: decides which rows of a group.
    """
    quota = sample_sizes(np.bincount(groups), rows, temperature)
    return _rank_in_group(groups, seed) < quota[groups]


def capped(groups: npt.NDArray[np.int64], most: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows stay when every group keeps at most `most`, chosen by the seed.

    Args:
        groups: int64 [rows], the group of every row, 0 or more.
        most: rows that a group keeps, 0 or more.
        seed: of the choice within a group.

    >>> np.bincount(np.array([0, 0, 0, 1])[capped(np.array([0, 0, 0, 1]), 2, seed=0)])
    array([2, 1])
    """
    return _rank_in_group(groups, seed) < most


def group_codes(table: pa.Table, by: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Group number of every row, and the names of the groups in order of first row.

    Args:
        table: with the column `by`, or the columns `labels`.
        by: a name of `COLUMNS`, the name of a label, or `lineage:N`. Rows without a value are one group.

    Raises:
        ConfigError: no row has a value.
    """
    if by in COLUMNS:
        values = table[by].cast(pa.string())
    else:
        match = re.fullmatch(r"lineage:(\d+)", by)
        values = _label(table["labels"], "lineage" if match else by)
        if match:
            values = pa.chunked_array(
                [[_first(text, int(match[1])) for text in values.to_pylist()]], pa.string()
            )
    if values.null_count == len(values):
        raise ConfigError(f"sample_by is {by!r}, which no row has; allowed: {', '.join(COLUMNS)}, lineage:N "
                          "(N names of the lineage), or the name of a label")  # fmt: skip
    encoded = values.fill_null("(none)").combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _label(labels: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """The text (or number, as text) of one label of every row, null where a row lacks it."""
    parts = []
    for chunk in labels.chunks:
        flat = chunk.flatten()
        mine = pc.call_function("equal", [flat.field("name"), pa.scalar(name)])
        owner = pc.call_function("list_parent_indices", [chunk]).filter(mine)
        text = pc.call_function(
            "coalesce", [flat.field("text"), flat.field("value").cast(pa.string())]
        ).filter(mine)
        at = pc.call_function(
            "index_in", [pa.array(np.arange(len(chunk)))], pc.SetLookupOptions(owner.cast(pa.int64()))
        )
        parts.append(text.take(at))
    return pa.chunked_array(parts, pa.string())


def _first(lineage: str | None, names: int) -> str | None:
    return None if lineage is None else "; ".join(lineage.split("; ")[:names])


def _rank_in_group(groups: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Place of every row in a random order of its group, from 0."""
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    sizes = np.bincount(groups) if len(groups) else np.zeros(0, np.int64)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - first
    return rank
