"""Persistence diagrams of point clouds in the plane and in space, and three distances between diagrams.

The alpha complex gives the exact diagram of the union of growing balls; gudhi's filtration values are squared
radii, so their square roots are used and a value is a length. Alpha and Vietoris-Rips diagrams of one cloud
have other values: only like is compared with like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from biodata.errors import ConfigError, require
from bioeval.metrics.setting import PersistenceDistance

JITTER = 1e-6
"""Half-width of the uniform displacement of repeated points; far below the distances that matter."""

_BLOCK = 1 << 15  # projections at a time

Diagram = np.ndarray
"""float64 [pairs, 2]: birth and death of each feature, in lengths of the unit square."""


def check_clouds(*, points: int, resamples: int, distance: str) -> None:
    """Checks how clouds are compared.

    Args:
        points: of a cloud, at least 10.
        resamples: subsets judged, at least 1.
        distance: a name of `DIAGRAM_DISTANCES`.

    Raises:
        ConfigError: a value that is not allowed.
    """
    if points < 10 or resamples < 1:
        raise ConfigError(f"points = {points}, resamples = {resamples}: allowed are at least 10 and 1")
    if distance not in DIAGRAM_DISTANCES:
        raise ConfigError(f"unknown distance {distance!r} (known: {', '.join(DIAGRAM_DISTANCES)})")


def persistence_diagrams(points: np.ndarray, *, seed: int = 0) -> Mapping[int, Diagram]:
    """Finite persistence pairs of the alpha complex of a cloud, by dimension: 0 and 1, in space also 2.

    Args:
        points: float64 [n, 2] or [n, 3]. Repeated points, which break the Delaunay triangulation, are
            displaced by up to `JITTER`.
        seed: of that displacement.

    >>> square = np.array([[0, 0], [0, 1], [1, 1], [1, 0.0]])
    >>> persistence_diagrams(square)[1].round(3).tolist()
    [[0.5, 0.707]]
    """
    gudhi = require("gudhi", extra="eval")
    points = _apart(points, seed)
    tree = gudhi.AlphaComplex(points=points).create_simplex_tree()
    tree.compute_persistence()
    diagrams = {}
    for dimension in range(points.shape[1]):
        pairs = tree.persistence_intervals_in_dimension(dimension).reshape(-1, 2)
        finite = pairs[np.isfinite(pairs).all(axis=1)]
        diagrams[dimension] = np.sqrt(finite[np.lexsort(finite.T)])
    return diagrams


def sliced_wasserstein(first: Diagram, second: Diagram, *, directions: int = 50) -> float:
    """Sliced Wasserstein distance of two diagrams, 0 or more, in lengths of the unit square.

    For each of M directions of the half circle: project the first diagram with the diagonal projections of
    the second, and the other way round, sort, and sum the absolute differences; then take the mean over the
    directions.

    Args:
        first: birth and death of each point `[p, 2]`.
        second: the same of the other diagram `[q, 2]`.
        directions: M, at least 1.

    Source: Carriere, Cuturi and Oudot 2017 (arXiv:1706.03358), definition 3.1 and algorithm 1.

    >>> sliced_wasserstein(np.array([[0, 1.0]]), np.array([[0, 1.0]]))
    0.0
    """
    total = len(first) + len(second)
    if not total:
        return 0.0
    angles = -np.pi / 2 + np.pi * np.arange(directions) / directions
    lines = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    step = min(max(_BLOCK // total, 1), directions)
    left, right = np.empty((2, step, total))  # used again for every block: fresh memory costs more
    cost = 0.0
    for start in range(0, directions, step):
        block = lines[start : start + step]
        one = _projected(first, second, block, out=left[: len(block)])
        one -= _projected(second, first, block, out=right[: len(block)])
        cost += float(np.abs(one, out=one).sum())
    return cost / directions


def _projected(points: Diagram, other: Diagram, lines: np.ndarray, *, out: np.ndarray) -> np.ndarray:
    """Projections of a diagram and of the other's points on the diagonal, in order along each line.

    A line keeps the order of the diagonal's points or turns it round, so they are sorted once for all lines
    and only merged: timsort, which is what `stable` means for floats, takes the two runs as they lie.
    """
    free, tied = out[:, : len(points)], out[:, len(points) :]
    np.matmul(lines, points.T, out=free)
    free.sort(axis=1)
    np.multiply(lines.sum(axis=1, keepdims=True), np.sort(other.mean(axis=1)), out=tied)
    out.sort(axis=1, kind="stable")
    return out


def wasserstein(first: Diagram, second: Diagram) -> float:
    """Wasserstein-1 distance of two diagrams with the largest coordinate as ground norm, 0 or more.

    Computed by Hera to 1 part in 1,000 (Kerber, Morozov and Nigmetov 2017, arXiv:1606.03357). Other programs
    take the Euclidean ground norm and so give other values.

    Args:
        first: birth and death of each point `[p, 2]`.
        second: the same of the other diagram `[q, 2]`.

    >>> wasserstein(np.array([[0, 1.0]]), np.zeros((0, 2)))
    0.5
    """
    hera = require("gudhi.hera", extra="eval")
    return float(hera.wasserstein_distance(first, second, order=1.0, internal_p=np.inf, delta=1e-3))


def bottleneck(first: Diagram, second: Diagram) -> float:
    """Bottleneck distance of two diagrams, exact: the largest move that a best matching needs.

    Source: Edelsbrunner and Harer 2010, chapter VIII (doi:10.1090/mbk/069).

    Args:
        first: birth and death of each point `[p, 2]`.
        second: the same of the other diagram `[q, 2]`.

    >>> bottleneck(np.array([[0, 1.0]]), np.array([[0, 0.75]]))
    0.25
    """
    gudhi = require("gudhi", extra="eval")
    return float(gudhi.bottleneck_distance(first, second))


DIAGRAM_DISTANCES: Mapping[PersistenceDistance, Callable[[Diagram, Diagram], float]] = {
    "sliced": sliced_wasserstein, "wasserstein": wasserstein, "bottleneck": bottleneck,
}  # fmt: skip


def _apart(points: np.ndarray, seed: int) -> np.ndarray:
    """The points, every one that was there before displaced."""
    _, first = np.unique(points, axis=0, return_index=True)
    if len(first) == len(points):
        return points
    repeated = np.ones(len(points), dtype=bool)
    repeated[first] = False
    moved = points.copy()
    moved[repeated] += np.random.default_rng(seed).uniform(
        -JITTER, JITTER, (int(repeated.sum()), points.shape[1])
    )
    return moved
