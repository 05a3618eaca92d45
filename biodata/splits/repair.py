"""Makes a split leak-proof: joins clusters that a similar pair connects, or purges rows.

The rule. Clusters connected by similar pairs form components. A component of at most `max_component` of all
rows becomes one cluster: nothing is lost. A larger one (in a repertoire nearly everything is connected
through intermediates) keeps its LinClust clusters, and rows are purged until no similar pair crosses the
split: always the row with the most crossing pairs next, of equals a training row first, then the earliest.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from biodata.similarity.cluster import renumbered, small_ints
from biodata.similarity.search import Hits, select


@dataclass(frozen=True, slots=True)
class Groups:
    """What is split as a whole.

    Attributes:
        labels: int64 group of every row.
        largest_component: rows of the largest component of connected clusters, were all joined.
        percolating_rows: rows in components left unjoined because they are too large.
        percolating: how many such components there are.
    """

    labels: np.ndarray
    largest_component: int
    percolating_rows: int
    percolating: int


def join_clusters(labels: np.ndarray, links: Hits, *, most_rows: int, mode: str) -> Groups:
    """Joins the clusters that links connect, by the rule of this module.

    Args:
        labels: cluster of every row, 0 to clusters - 1.
        links: similar pairs of rows.
        most_rows: rows that a joined cluster may have; ignored for `merge`.
        mode: `auto`, `merge` (join all) or `purge` (join none).

    >>> links = Hits(np.array([0, 1]), np.array([1, 2]), np.ones(2))
    >>> join_clusters(np.arange(4), links, most_rows=3, mode="auto").labels
    array([0, 0, 0, 1])
    >>> join_clusters(np.arange(4), links, most_rows=2, mode="auto").labels
    array([0, 1, 2, 3])
    """
    clusters = int(labels.max()) + 1 if len(labels) else 0
    root = components(clusters, labels[links.query], labels[links.target])
    component = root[labels]
    sizes = np.bincount(component, minlength=clusters)
    members = np.bincount(root, minlength=clusters)
    joined = members > 1
    too_large = joined & ((sizes > most_rows) | (mode == "purge")) & (mode != "merge")
    apart = too_large[component]
    component[apart] = clusters + labels[apart]
    return Groups(renumbered(component), int(sizes.max(initial=0)), int(sizes[too_large].sum()),
                  int(too_large.sum()))  # fmt: skip


def crossing(links: Hits, split: np.ndarray) -> Hits:
    """The pairs whose rows are in different splits; purged rows (split below 0) are in none."""
    a, b = split[links.query], split[links.target]
    return select(links, (a >= 0) & (b >= 0) & (a != b))


def rows_to_purge(links: Hits, split: np.ndarray) -> np.ndarray:
    """Rows whose removal leaves no crossing pair: greedy vertex cover, rule of this module.

    >>> star = Hits(np.array([3, 3, 3]), np.array([0, 1, 2]), np.ones(3))
    >>> rows_to_purge(star, np.array([0, 0, 0, 2]))
    array([3])
    """
    links = crossing(links, split)
    neighbours: dict[int, set[int]] = {}
    for a, b in zip(links.query.tolist(), links.target.tolist()):
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    heap = [(-len(others), int(split[row]), row) for row, others in neighbours.items()]
    heapq.heapify(heap)
    purged = []
    while heap:
        count, part, row = heapq.heappop(heap)
        others = neighbours[row]
        if not others:
            continue
        if -count != len(others):  # an old entry: pairs went away meanwhile
            heapq.heappush(heap, (-len(others), part, row))
            continue
        purged.append(row)
        for other in others:
            neighbours[other].discard(row)
        neighbours[row] = set()
    return np.array(sorted(purged), np.int64)


def components(nodes: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Smallest connected node of every node: each round the roots of all edges hook to smaller ones.

    Args:
        nodes: how many there are.
        left: int64 [edges], one end of each edge.
        right: int64 [edges], the other.

    >>> components(5, np.array([3, 1]), np.array([1, 4]))
    array([0, 1, 2, 1, 1])
    """
    root = np.arange(nodes, dtype=small_ints(nodes))
    while True:
        a, b = root[left], root[right]
        different = a != b
        if not different.any():
            return root.astype(np.int64)
        left, right = left[different], right[different]
        a, b = a[different], b[different]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, above := root[root]):
            root = above


def join_labels(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Labels under which rows are together that are so under either labelling.

    >>> join_labels(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]))
    array([0, 0, 0, 1])
    """
    if not len(first):
        return first
    offset = int(first.max()) + 1
    root = components(offset + int(second.max()) + 1, first, second + offset)
    return renumbered(root[first])
