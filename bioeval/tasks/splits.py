"""How the rows of a task come into train, validation and test: given by its file, or drawn with a seed.

Whatever the way, rows of a group and rows of equal sequence never come apart where the split is drawn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from biodata.errors import DataError
from biodata.mmseqs import normalised
from biodata.schema import SPLITS
from biodata.similarity.cluster import cluster
from biodata.similarity.molecules import scaffolds
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.rows import SPLIT, Book, Rows
from bioeval.tasks.targets import MISSING

_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
          "validation": "validation", "dev": "validation", "test": "test"}  # fmt: skip
_TRUE = ("true", "1", "1.0", "yes")
_IDENTITY, _COVERAGE = 0.5, 0.8  # of clusters; below about half identity LinClust finds little


def drawn(sequences: pa.ChunkedArray, groups: Sequence[str | None], config: TaskConfig) -> list[str]:
    """The split of every row, drawn as `config.way` says.

    Args:
        sequences: of the rows.
        groups: of the rows, None for none.
        config: way, fractions, seed.
    """
    way, texts = config.way, sequences.to_pylist()
    if way == "none":
        return ["test"] * len(texts)
    if way == "scaffold":
        return _by_scaffold(texts, config)
    if way == "cluster":
        groups = _clusters(sequences, config.alphabet)
    if way == "random":
        groups = [None] * len(texts)
    return group_split(texts, groups, fractions=config.fractions, seed=config.seed)


def given(rows: Rows, config: TaskConfig, book: Book) -> list[str]:
    """The split that the file of a task gives every row; rows without one are left out by the book.

    Args:
        rows: of the file.
        config: says which column or file part is the split.
        book: where rows that are left out are counted.

    Raises:
        DataError: a split of another name, with file and line.
    """
    names = config.columns
    if names.split is None and SPLIT in rows.table.column_names:
        found = [str(text) for text in rows.texts(SPLIT).to_pylist()]
    else:
        found = _named(rows, config, book)
    if names.validation is not None:
        marks = rows.texts(names.validation).to_pylist()
        found = [
            "validation" if split == "train" and (mark or "").strip().lower() in _TRUE else split
            for split, mark in zip(found, marks)
        ]
    return found


def with_validation(
    split: list[str], sequences: Sequence[str], groups: Sequence[str | None], config: TaskConfig
):
    """A given split whose validation rows are a share of its train rows, drawn by group.

    Args:
        split: of every row.
        sequences: of every row; equal ones stay together.
        groups: of every row, None for none.
        config: `validation` is the share, `seed` draws.
    """
    rows = [row for row, name in enumerate(split) if name == "train"]
    share = config.validation
    parts = group_split([sequences[r] for r in rows], [groups[r] for r in rows],
                        fractions=(1 - share, share, 0), seed=config.seed)  # fmt: skip
    out = list(split)
    for row, part in zip(rows, parts):
        out[row] = part
    return out


def sampled(split: Sequence[str], *, rows: int, seed: int) -> np.ndarray:
    """Which rows are kept, int64 in order: of every split its share of `rows`, at least 3 if it has them.

    Args:
        split: of every row.
        rows: how many in all.
        seed: of the draw.

    >>> sampled(["train"] * 8 + ["test"] * 2, rows=5, seed=0).tolist()[-1] >= 8
    True
    """
    names = np.array(split)
    generator = np.random.default_rng(seed)
    kept = []
    for name in SPLITS:
        mine = np.flatnonzero(names == name)
        n = round(rows * len(mine) / len(names))
        kept.append(generator.permutation(mine)[: max(n, min(3, len(mine)))])
    return np.sort(np.concatenate(kept))


def _named(rows: Rows, config: TaskConfig, book: Book) -> list[str]:
    column = str(config.columns.split or "SET")
    names = _NAMES
    if config.split_values is not None:
        names = {value.lower(): split for split in SPLITS for value in getattr(config.split_values, split)}
    texts = [(text or "").strip().lower() for text in rows.texts(column).to_pylist()]
    book.leave_out(
        "no-split", np.array([text in MISSING for text in texts], bool), f"column {column!r} is empty"
    )
    for row in np.flatnonzero(book.kept).tolist():
        if texts[row] not in names:
            raise DataError(f"split {texts[row]!r}", where=rows.where(row),
                            hint=f"allowed: {', '.join(names)}")  # fmt: skip
    return [names.get(text, "") for text in texts]


def _clusters(sequences: pa.ChunkedArray, alphabet: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="seqloom-") as folder:
        found = cluster(normalised(sequences, alphabet=alphabet), alphabet=alphabet, identity=_IDENTITY,
                        coverage=_COVERAGE, workdir=Path(folder))  # fmt: skip
    return [str(label) for label in found.labels.tolist()]


def _by_scaffold(texts: list[str], config: TaskConfig) -> list[str]:
    """Large scaffolds train, rare ones validation and test (Wu et al. 2018, doi:10.1039/C7SC02664A, 2.3).

    Scaffolds by falling size, those of one size in the order of their text, fill train, then validation,
    then test; nothing is drawn.
    """
    names = [name or f"none-{row}" for row, name in enumerate(scaffolds(texts))]
    distinct, inverse, sizes = np.unique(names, return_inverse=True, return_counts=True)
    order = np.lexsort((distinct, -sizes))
    ends = np.cumsum(config.fractions) * len(texts)
    filled = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.empty(len(distinct), np.int64)
    part[order] = np.minimum(np.searchsorted(ends, filled, side="right"), 2)
    return [SPLITS[number] for number in part[inverse.reshape(-1)]]


def group_split(
    sequences: Sequence[str], groups: Sequence[str | None], *, fractions: Sequence[float], seed: int
) -> list[str]:
    """A split for every row.

    Groups that share a sequence are joined first. The joined groups are put in an order drawn with `seed`
    and dealt to train, validation and test, each filled to its share of the rows; the result depends on
    neither the order of the rows nor the names of the groups but through their sorting.

    Args:
        sequences: one for each row.
        groups: group of each row; `None` lets the sequence be its own group.
        fractions: shares of train, validation and test.
        seed: of the order.

    >>> s = group_split(["A", "C", "A", "G"], ["x", "y", "z", "x"], fractions=(0.5, 0.25, 0.25), seed=0)
    >>> s[0] == s[2] == s[3] != s[1]
    True
    """
    roots = _joined(sequences, groups)
    names, sizes = np.unique(np.array(roots), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    ends = np.cumsum(fractions) * len(sequences)
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    dealt = np.minimum(np.searchsorted(ends, middles, side="right"), len(SPLITS) - 1)
    split_of = {str(names[g]): SPLITS[s] for g, s in zip(order, dealt)}
    return [split_of[r] for r in roots]


def _joined(sequences: Sequence[str], groups: Sequence[str | None]) -> list[str]:
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    nodes = [(f"s:{s}", f"g:{g}" if g is not None else f"s:{s}") for s, g in zip(sequences, groups)]
    for a, b in nodes:
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    return [find(a) for a, _ in nodes]
