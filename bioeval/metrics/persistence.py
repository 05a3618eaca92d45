"""Persistent homology of the chaos-game cloud, and the sliced Wasserstein distance between diagrams.

The alpha complex of the planar cloud gives H0 (components) and H1 (loops); gudhi's filtration values are
squared radii, so their square roots are used and a value is a length in the unit square. Diagrams depend on
the number of points: only clouds of equal size are compared, and only alpha with alpha (Vietoris-Rips
diagrams have other values). Complementing a sequence without reversing it is an isometry of the cloud, so it
cannot be seen; the reverse complement is another cloud, hence the choice of strands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from biodata.errors import ConfigError, require
from bioeval.metrics.cgr import set_points
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet

JITTER = 1e-6
"""Half-width of the uniform displacement of repeated points; far below the distances that matter."""

Diagram = np.ndarray
"""float64 [pairs, 2]: birth and death of each feature, in lengths of the unit square."""


def persistence_diagrams(points: np.ndarray, *, seed: int = 0) -> Mapping[int, Diagram]:
    """Finite persistence pairs of the alpha complex of a planar cloud, by dimension 0 and 1.

    Args:
        points: float64 [n, 2]. Repeated points, which break the Delaunay triangulation, are displaced by up
            to `JITTER`.
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
    for dimension in (0, 1):
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
    angles = -np.pi / 2 + np.pi * np.arange(directions) / directions
    lines = np.stack([np.cos(angles), np.sin(angles)])
    left = np.concatenate([first, _on_diagonal(second)]) @ lines
    right = np.concatenate([second, _on_diagonal(first)]) @ lines
    return float(np.abs(np.sort(left, axis=0) - np.sort(right, axis=0)).sum(axis=0).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class PointCloud:
    """Chaos-game points of a set, ordered by sequence.

    Attributes:
        points: float64 [total, 2].
        first: int64 [n], where the points of each sequence begin.
        counts: int64 [n], points of each sequence.
    """

    points: np.ndarray
    first: np.ndarray
    counts: np.ndarray

    def sample(self, rows: np.ndarray, size: int, *, seed: int) -> np.ndarray:
        """`size` points of the chosen sequences, uniformly, without replacement; equal seeds, equal picks.

        Args:
            rows: bool `[n]`, sequences to draw from.
            size: points, at most as many as these sequences have.
            seed: of the draw.
        """
        chosen = np.flatnonzero(rows)
        ends = np.cumsum(self.counts[chosen])
        picks = np.sort(np.random.default_rng(seed).choice(int(ends[-1]), size=size, replace=False))
        owner = np.searchsorted(ends, picks, side="right")
        offset = picks - (ends[owner] - self.counts[chosen][owner])
        return self.points[self.first[chosen][owner] + offset]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentHomology:
    """Sliced Wasserstein distance of the H0 and H1 diagrams of two chaos-game clouds.

    A cloud is the union of the points of all sequences of a subset (a letter that is not A, C, G, T gives no
    point and the game starts anew after it), reduced to `points` random ones, equally many on both sides.
    It never beat the 3-mer divergence on sources made to be told apart, so read it as a second view.

    Attributes:
        points: points a cloud, at least 10; fewer where a subset has fewer.
        resamples: at most so many of the subsets given are judged, at least 1; a diagram costs milliseconds.
        both_strands: the union with the cloud of the reverse complements.
        seed: of the choice of points and of the displacement of repeated ones.
    """

    points: int = 2000
    resamples: int = 25
    both_strands: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points < 10 or self.resamples < 1:
            raise ConfigError(
                f"points = {self.points}, resamples = {self.resamples}: allowed are at least 10 and 1"
            )

    @property
    def measures(self) -> tuple[Measure, ...]:
        unit, of = "length", "sliced Wasserstein distance"
        return (
            Measure(name="persistence_h1", unit=unit, title=f"Chaos-game loops (H1), {of}"),
            Measure(name="persistence_h0", unit=unit, title=f"Chaos-game components (H0), {of}"),
        )

    def features(self, sequences: SequenceSet) -> PointCloud:
        points, owners = set_points(sequences)
        if self.both_strands:
            other, other_owners = set_points(sequences.reverse_complement())
            points, owners = np.concatenate([points, other]), np.concatenate([owners, other_owners])
            order = np.argsort(owners, kind="stable")
            points, owners = points[order], owners[order]
        counts = np.bincount(owners, minlength=len(sequences))
        return PointCloud(points=points, first=np.cumsum(counts) - counts, counts=counts)

    def compare(
        self, first: PointCloud, second: PointCloud, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        judged = min(len(rows), self.resamples)
        return np.array([self._distances(first, second, rows[i], others[i]) for i in range(judged)])

    def diagrams(self, cloud: PointCloud, points: int) -> Mapping[int, Diagram]:
        """The diagrams of so many points of one cloud, for pictures."""
        return self._diagrams(cloud, np.ones(len(cloud.counts), dtype=bool), points)

    def _distances(
        self, first: PointCloud, second: PointCloud, rows: np.ndarray, others: np.ndarray
    ) -> tuple[float, float]:
        available = min(int(first.counts[rows].sum()), int(second.counts[others].sum()))
        size = min(self.points, available)
        if size < 3:
            return (np.nan, np.nan)
        left, right = self._diagrams(first, rows, size), self._diagrams(second, others, size)
        return sliced_wasserstein(left[1], right[1]), sliced_wasserstein(left[0], right[0])

    def _diagrams(self, cloud: PointCloud, rows: np.ndarray, size: int) -> Mapping[int, Diagram]:
        return persistence_diagrams(cloud.sample(rows, size, seed=self.seed), seed=self.seed)


def _apart(points: np.ndarray, seed: int) -> np.ndarray:
    """The points, every one that was there before displaced."""
    _, first = np.unique(points, axis=0, return_index=True)
    if len(first) == len(points):
        return points
    repeated = np.ones(len(points), dtype=bool)
    repeated[first] = False
    moved = points.copy()
    moved[repeated] += np.random.default_rng(seed).uniform(-JITTER, JITTER, (int(repeated.sum()), 2))
    return moved


def _on_diagonal(diagram: Diagram) -> Diagram:
    return np.repeat(diagram.mean(axis=1, keepdims=True), 2, axis=1)
