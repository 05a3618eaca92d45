"""Trees of groups: average linkage or neighbour joining, with the share of resamples that have each
branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bioeval.distances.matrix import net_distances

TreeKind = Literal["average", "nj"]


@dataclass(frozen=True, slots=True)
class Node:
    """A branch of a tree.

    Attributes:
        leaves: numbers of the groups below it, sorted.
        length: of the branch above it, 0 or more.
        children: branches below it, none of a group.
    """

    leaves: tuple[int, ...]
    length: float
    children: tuple[Node, ...] = ()


def make_tree(matrix: np.ndarray, kind: TreeKind) -> Node:
    """The tree of a distance matrix.

    Source: average linkage (UPGMA; Sokal and Michener 1958) by scipy; neighbour joining (Saitou and Nei 1987,
    doi:10.1093/oxfordjournals.molbev.a040454) by Biopython, its negative lengths as 0; its root is where the
    last three branches met and means nothing.

    Args:
        matrix: [groups, groups], symmetric, two groups or more.
        kind: `average` or `nj`.

    >>> tree = make_tree(np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0.0]]), "average")
    >>> [(child.leaves, child.length) for child in tree.children]
    [((2,), 2.0), ((0, 1), 1.5)]
    """
    return _average(matrix) if kind == "average" or len(matrix) < 3 else _neighbour_joining(matrix)


def supports(values: np.ndarray, tree: Node, kind: TreeKind) -> dict[tuple[int, ...], float]:
    """Share of resamples whose own tree has each inner branch, 0 to 1.

    Args:
        values: distances of resamples [B, groups, groups] as in `Distances.values`.
        tree: the tree of all.
        kind: how trees are made; of neighbour joining, which has no root, splits are compared.
    """
    everyone = tree.leaves
    wanted = {n.leaves for n in walk(tree) if 1 < len(n.leaves) < len(everyone)}
    found = dict.fromkeys(wanted, 0)
    for matrix in values:
        clades = {n.leaves for n in walk(make_tree(net_distances(matrix), kind))}
        if kind == "nj":
            clades |= {tuple(sorted(set(everyone) - set(c))) for c in clades}
        for clade in wanted & clades:
            found[clade] += 1
    return {clade: number / max(len(values), 1) for clade, number in sorted(found.items())}


def walk(tree: Node) -> list[Node]:
    """All branches, parents first."""
    result = [tree]
    for child in tree.children:
        result += walk(child)
    return result


def newick(tree: Node, names: Sequence[str], support: dict[tuple[int, ...], float]) -> str:
    """The tree as Newick text, inner branches with their support in percent.

    Args:
        tree: of `make_tree`.
        names: of the groups.
        support: of `supports`.

    >>> newick(make_tree(np.array([[0, 2], [2, 0.0]]), "average"), ["a b", "c"], {})
    "('a b':1,c:1);"
    """

    def spell(node: Node) -> str:
        if not node.children:
            name = names[node.leaves[0]]
            plain = name.replace("'", "''")
            return name if name.replace("_", "").replace(".", "").isalnum() else f"'{plain}'"
        inner = ",".join(f"{spell(child)}:{child.length:.6g}" for child in node.children)
        share = support.get(node.leaves)
        return f"({inner}){'' if share is None else round(100 * share)}"

    return spell(tree) + ";"


def _average(matrix: np.ndarray) -> Node:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    size = len(matrix)
    nodes: dict[int, tuple[tuple[int, ...], float, tuple[int, ...]]]
    nodes = {i: ((i,), 0.0, ()) for i in range(size)}
    steps = linkage(squareform(matrix, checks=False), "average")
    for step, (a, b, height, _) in enumerate(steps):
        pair = (int(a), int(b))
        leaves = tuple(sorted(nodes[pair[0]][0] + nodes[pair[1]][0]))
        nodes[size + step] = (leaves, float(height) / 2, pair)

    def build(number: int, above: float) -> Node:
        leaves, height, children = nodes[number]
        return Node(leaves, max(above - height, 0.0), tuple(build(child, height) for child in children))

    top = max(nodes)
    return build(top, nodes[top][1])


def _neighbour_joining(matrix: np.ndarray) -> Node:
    from Bio.Phylo.TreeConstruction import DistanceMatrix, DistanceTreeConstructor

    rows = [[float(v) for v in matrix[i, : i + 1]] for i in range(len(matrix))]
    found = DistanceTreeConstructor().nj(DistanceMatrix([str(i) for i in range(len(matrix))], rows))

    def build(clade: Any) -> Node:
        length = max(float(clade.branch_length or 0.0), 0.0)
        if not clade.clades:
            return Node((int(clade.name),), length)
        children = tuple(build(child) for child in clade.clades)
        return Node(tuple(sorted(sum((c.leaves for c in children), ()))), length, children)

    return build(found.root)
