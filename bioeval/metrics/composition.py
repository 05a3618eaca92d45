"""GC content and length: the two properties that any set of sequences should share with its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import OTHER, SequenceSet


def gc_content(sequences: SequenceSet) -> np.ndarray:
    """G + C in percent of A, C, G, T of each sequence, float64 [n]; NaN where there is none of the four.

    >>> gc_content(SequenceSet.from_strings(["ACGT", "GGN", "N"])).tolist()
    [50.0, 100.0, nan]
    """
    owners, codes = sequences.rows_of_positions(), sequences.codes
    strong = np.bincount(owners[(codes == 1) | (codes == 2)], minlength=len(sequences))
    known = np.bincount(owners[codes < OTHER], minlength=len(sequences))
    return np.divide(100.0 * strong, known, out=np.full(len(sequences), np.nan), where=known > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Mean GC and median length, and Wasserstein-1 distances of their distributions.

    The Wasserstein-1 distance is the mean number of percentage points (or nucleotides) by which the sequences
    of one set would have to change to have the distribution of the other.
    """

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(name="gc_mean", unit="%", title="GC content, mean", kind="share", kept_by_shuffling=True),
            Measure(
                name="gc_wasserstein",
                unit="% points",
                title="GC content, Wasserstein distance",
                kept_by_shuffling=True,
            ),
            Measure(
                name="length_median", unit="nt", title="Length, median", kind="share", kept_by_shuffling=True
            ),
            Measure(
                name="length_wasserstein",
                unit="nt",
                title="Length, Wasserstein distance",
                kept_by_shuffling=True,
            ),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return np.stack([gc_content(sequences), sequences.lengths.astype(np.float64)], axis=1)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        return np.array([_distances(first[a], second[b]) for a, b in zip(rows, others)])


def _distances(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float, float]:
    from scipy.stats import wasserstein_distance

    gc, other_gc = first[~np.isnan(first[:, 0]), 0], second[~np.isnan(second[:, 0]), 0]
    if not len(gc) or not len(other_gc):
        return (np.nan, np.nan, float(np.median(first[:, 1])), np.nan)
    apart = float(wasserstein_distance(gc, other_gc))
    lengths = float(wasserstein_distance(first[:, 1], second[:, 1]))
    return (float(gc.mean()), apart, float(np.median(first[:, 1])), lengths)
