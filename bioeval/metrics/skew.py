"""GC and AT skew: which strand of a pair of bases stands on the strand that is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioeval.metrics.counting import letter_table
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting


def skews(sequences: SequenceSet) -> np.ndarray:
    """100 (G - C) / (G + C) and 100 (A - T) / (A + T) of each sequence, float64 [n, 2], NaN without either.

    Source: Lobry 1996 (doi:10.1093/oxfordjournals.molbev.a025626).

    >>> skews(SequenceSet.from_strings(["GGGC", "AT"])).tolist()
    [[50.0, nan], [nan, 0.0]]
    """
    a, c, g, t = letter_table(sequences).T
    result = np.full((len(sequences), 2), np.nan)
    for column, (one, other) in enumerate(((g, c), (a, t))):
        np.divide(100.0 * (one - other), one + other, out=result[:, column], where=one + other > 0)
    return result


def cumulative_skew(codes: np.ndarray, *, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Running sum of G minus C along a genome: its turns are where replication begins and ends.

    Source: Grigoriev 1998 (doi:10.1093/nar/26.10.2286).

    Args:
        codes: uint8 of one sequence.
        points: at how many places it is read, at most as many as there are letters.

    Returns:
        `(places, sums)`, letters from the start and G - C up to there.

    >>> [axis.tolist() for axis in cumulative_skew(np.array([2, 2, 1, 0], dtype=np.uint8))]
    [[1, 2, 3, 4], [1, 2, 1, 1]]
    """
    steps = (codes == 2).astype(np.int64) - (codes == 1)
    places = np.unique(np.linspace(1, len(codes), min(points, len(codes))).astype(np.int64))
    return places, np.cumsum(steps)[places - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """Mean GC and AT skew, and Wasserstein-1 distances of their distributions, in percentage points."""

    @classmethod
    def of_run(cls, setting: Setting) -> list[Skew]:
        """Of one strand only."""
        setting.need_nucleotides()
        if setting.both_strands:
            raise NotApplicableError("the skew of both strands together is 0 (--strands both)")
        return [cls()]

    @property
    def measures(self) -> tuple[Measure, ...]:
        names = {"gc": "GC", "at": "AT"}
        shares = [
            Measure(name=f"{n}_skew", unit="%", title=f"{s} skew, mean", kind="share", kept_by_shuffling=True)
            for n, s in names.items()
        ]
        apart = [
            Measure(name=f"{n}_skew_wasserstein", unit="% points", kept_by_shuffling=True,
                    title=f"{s} skew, Wasserstein distance")
            for n, s in names.items()
        ]  # fmt: skip
        return (*shares, *apart)

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return skews(sequences)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        from scipy.stats import wasserstein_distance

        result = np.full((len(rows), 4), np.nan)
        for row, (chosen, other) in enumerate(zip(rows, others)):
            for column in (0, 1):
                a, b = first[chosen, column], second[other, column]
                a, b = a[~np.isnan(a)], b[~np.isnan(b)]
                if len(a) and len(b):
                    result[row, column] = a.mean()
                    result[row, 2 + column] = wasserstein_distance(a, b)
        return result
