"""Persistent homology of the chaos-game cloud, and distances between its diagrams.

The alpha complex of the planar cloud gives H0 (components) and H1 (loops); a value is a length in the unit
square. Diagrams depend on the number of points: only clouds of equal size are compared. Complementing a
sequence without reversing it is an isometry of the cloud, so it cannot be seen; the reverse complement is
another cloud, hence the choice of strands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import JEFFREY, corner_table
from bioeval.metrics.diagrams import (
    DIAGRAM_DISTANCES,
    JITTER,
    Diagram,
    check_clouds,
    persistence_diagrams,
    sliced_wasserstein,
)
from bioeval.metrics.point_cloud import PointCloud
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import PersistenceDistance, Setting

__all__ = ["JITTER", "PersistentHomology", "persistence_diagrams", "sliced_wasserstein"]

_SAYS = {
    "sliced": "sliced Wasserstein distance", "wasserstein": "Wasserstein-1 distance",
    "bottleneck": "bottleneck distance",
}  # fmt: skip


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
        square = corner_table(JEFFREY)
        return PointCloud.of(sequences, square, centre=square.mean(axis=0), both_strands=self.both_strands)

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
