"""A seeded split by group: rows of a group, and rows of equal sequence, never come apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biodata.schema import SPLITS


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
