"""Chaos game in four dimensions (C4DR), drawn in three without loss, and its persistent homology.

Source: bioRxiv 10.1101/2021.01.31.429071: A, C, G, T are the unit vectors e_1 to e_4, P_1 = e(s_1) and
P_i = (P_{i-1} + e(s_i)) / 2. Coordinates add up to 1, so the cloud lies in a tetrahedron; turned into space
with corners (1,1,1), (1,-1,-1), (-1,1,-1), (-1,-1,1), each halved, all distances stay what they are (edges
sqrt 2), and the alpha complex takes the place of Vietoris-Rips in four dimensions, which is out of reach
beyond some thousand points. The planar chaos game is a linear image of this cloud.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioeval.metrics.cgr import walks
from bioeval.metrics.diagrams import DIAGRAM_DISTANCES, check_clouds, persistence_diagrams
from bioeval.metrics.point_cloud import PointCloud
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import PersistenceDistance, Setting

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 2
"""Corners of A, C, G, T in space."""


def c4dr_points(codes: np.ndarray) -> np.ndarray:
    """The cloud of one sequence in space, float64 [letters that are A, C, G or T, 3].

    Args:
        codes: uint8 A 0, C 1, G 2, T 3; another letter gives no point and the game starts anew after it.

    >>> c4dr_points(np.array([0, 1], dtype=np.uint8)).tolist()
    [[0.5, 0.5, 0.5], [0.5, 0.0, 0.0]]
    """
    return walks(codes, TETRAHEDRON)


@dataclass(frozen=True, slots=True, kw_only=True)
class C4drHomology:
    """Distances of the H0, H1 and H2 diagrams of two C4DR clouds, as lengths (edges of the solid: sqrt 2).

    A diagram in space costs several times one in the plane, hence fewer points. Read it as the planar one
    (`bioeval.metrics.persistence`): a second view.

    Attributes:
        points: points a cloud, at least 10, equally many of both; fewer where a subset has fewer.
        resamples: at most so many of the subsets given are judged, at least 1.
        both_strands: the union with the cloud of the reverse complements.
        distance: `sliced`, `wasserstein` or `bottleneck`.
        seed: of the choice of points and of the displacement of repeated ones.
    """

    points: int = 500
    resamples: int = 25
    both_strands: bool = False
    distance: PersistenceDistance = "sliced"
    seed: int = 0

    def __post_init__(self) -> None:
        check_clouds(points=self.points, resamples=self.resamples, distance=self.distance)

    @classmethod
    def of_run(cls, setting: Setting) -> list[C4drHomology]:
        """A quarter of the points of the plane."""
        setting.need_nucleotides()
        return [
            cls(points=max(setting.points // 4, 10), resamples=setting.resamples,
                both_strands=setting.both_strands, distance=setting.distance, seed=setting.seed)
        ]  # fmt: skip

    @property
    def measures(self) -> tuple[Measure, ...]:
        what = {1: "loops (H1)", 0: "components (H0)", 2: "hollows (H2)"}
        return tuple(
            Measure(name=f"c4dr_h{d}", unit="length", title=f"C4DR {what[d]}, {self.distance} distance")
            for d in what
        )

    def features(self, sequences: SequenceSet) -> PointCloud:
        return PointCloud.of(sequences, TETRAHEDRON, centre=None, both_strands=self.both_strands)

    def compare(
        self, first: PointCloud, second: PointCloud, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        judged = min(len(rows), self.resamples)
        return np.array([self._distances(first, second, rows[i], others[i]) for i in range(judged)])

    def _distances(
        self, first: PointCloud, second: PointCloud, rows: np.ndarray, others: np.ndarray
    ) -> tuple[float, ...]:
        size = min(self.points, int(first.counts[rows].sum()), int(second.counts[others].sum()))
        if size < 5:
            return (np.nan,) * 3
        left, right = (
            persistence_diagrams(cloud.sample(chosen, size, seed=self.seed), seed=self.seed)
            for cloud, chosen in ((first, rows), (second, others))
        )
        return tuple(DIAGRAM_DISTANCES[self.distance](left[d], right[d]) for d in (1, 0, 2))
