"""Persistent homology of the chaos-game cloud, and distances between its diagrams.

The alpha complex of the planar cloud gives H0 (components) and H1 (loops); a value is a length in the unit
square. Diagrams depend on the number of points: only clouds of equal size are compared. Complementing a
sequence without reversing it is an isometry of the cloud, so it cannot be seen; the reverse complement is
another cloud, hence the choice of strands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import OTHER
from bioeval.metrics.cgr import set_points
from bioeval.metrics.counting import BLOCK
from bioeval.metrics.diagrams import (
    DIAGRAM_DISTANCES,
    JITTER,
    Diagram,
    check_clouds,
    persistence_diagrams,
    sliced_wasserstein,
)
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import PersistenceDistance, Setting

__all__ = ["JITTER", "PersistentHomology", "PointCloud", "persistence_diagrams", "sliced_wasserstein"]

_SAYS = {
    "sliced": "sliced Wasserstein distance", "wasserstein": "Wasserstein-1 distance",
    "bottleneck": "bottleneck distance",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PointCloud:
    """Chaos-game points of a set, ordered by sequence.

    Attributes:
        points: float64 [total, 2], or of another dimension.
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


Points = Callable[[SequenceSet], tuple[np.ndarray, np.ndarray]]
"""A point for each nucleotide of a set, and the sequence of each."""


def point_cloud(points_of: Points, sequences: SequenceSet, *, both_strands: bool) -> PointCloud:
    """The cloud of a set, of one strand or the union of both.

    Args:
        points_of: makes points of sequences.
        sequences: nucleotides.
        both_strands: adds the points of the reverse complements.
    """
    total = int(np.count_nonzero(sequences.codes < OTHER)) * (1 + both_strands)
    cloud, counts, done = np.zeros((0, 0)), np.zeros(len(sequences), dtype=np.int64), 0
    for rows, block in sequences.blocks(BLOCK):
        points, owners = points_of(block)
        if both_strands:
            other, other_owners = points_of(block.reverse_complement())
            points, owners = np.concatenate([points, other]), np.concatenate([owners, other_owners])
            points = points[np.argsort(owners, kind="stable")]
        cloud = cloud if done else np.empty((total, points.shape[1]))
        cloud[done : done + len(points)] = points
        counts[rows] = np.bincount(owners, minlength=len(block))
        done += len(points)
    return PointCloud(points=cloud, first=np.cumsum(counts) - counts, counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentHomology:
    """Distances of the H0 and H1 diagrams of two chaos-game clouds.

    A cloud is the union of the points of all sequences of a subset (a letter that is not A, C, G, T gives no
    point and the game starts anew after it), reduced to `points` random ones, equally many on both sides.
    It never beat the 3-mer divergence on sources made to be told apart, so read it as a second view.

    Attributes:
        points: points a cloud, at least 10; fewer where a subset has fewer.
        resamples: at most so many of the subsets given are judged, at least 1; a diagram costs milliseconds.
        both_strands: the union with the cloud of the reverse complements.
        distance: `sliced` (Wasserstein), `wasserstein` or `bottleneck`; see `bioeval.metrics.diagrams`.
        seed: of the choice of points and of the displacement of repeated ones.
    """

    points: int = 2000
    resamples: int = 25
    both_strands: bool = False
    distance: PersistenceDistance = "sliced"
    seed: int = 0

    def __post_init__(self) -> None:
        check_clouds(points=self.points, resamples=self.resamples, distance=self.distance)

    @classmethod
    def of_run(cls, setting: Setting) -> list[PersistentHomology]:
        """As many points as the run says, equally many of both sets."""
        setting.need_nucleotides()
        return [
            cls(points=setting.points, resamples=setting.resamples, both_strands=setting.both_strands,
                distance=setting.distance, seed=setting.seed)
        ]  # fmt: skip

    @property
    def measures(self) -> tuple[Measure, ...]:
        unit, of = "length", _SAYS[self.distance]
        return (
            Measure(name="persistence_h1", unit=unit, title=f"Chaos-game loops (H1), {of}"),
            Measure(name="persistence_h0", unit=unit, title=f"Chaos-game components (H0), {of}"),
        )

    def features(self, sequences: SequenceSet) -> PointCloud:
        return point_cloud(set_points, sequences, both_strands=self.both_strands)

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
        apart = DIAGRAM_DISTANCES[self.distance]
        return apart(left[1], right[1]), apart(left[0], right[0])

    def _diagrams(self, cloud: PointCloud, rows: np.ndarray, size: int) -> Mapping[int, Diagram]:
        return persistence_diagrams(cloud.sample(rows, size, seed=self.seed), seed=self.seed)
