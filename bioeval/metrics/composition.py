"""GC content and length: what any set of sequences should share with its reference first of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioeval.metrics.counting import letter_table
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import Setting


def gc_content(sequences: SequenceSet) -> np.ndarray:
    """G + C in percent of A, C, G, T of each sequence, float64 [n]; NaN where there is none of the four.

    >>> gc_content(SequenceSet.from_strings(["ACGT", "GGN", "N"])).tolist()
    [50.0, 100.0, nan]
    """
    letters = letter_table(sequences)
    strong, known = letters[:, 1] + letters[:, 2], letters.sum(axis=1)
    return np.divide(100.0 * strong, known, out=np.full(len(sequences), np.nan), where=known > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Mean GC and median length, and Wasserstein-1 distances of their distributions.

    The Wasserstein-1 distance is the mean number of percentage points (or nucleotides) by which the sequences
    of one set would have to change to have the distribution of the other.

    Attributes:
        gc: whether GC is measured (of nucleotides); length always is, in nt or letters of other alphabets.
    """

    gc: bool = True

    @classmethod
    def of_run(cls, setting: Setting) -> list[Composition]:
        """Length of all alphabets, GC of nucleotides."""
        return [cls(gc=setting.letters == NUCLEOTIDES)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(m for m in self._all if self.gc or not m.name.startswith("gc_"))

    @property
    def _all(self) -> tuple[Measure, ...]:
        unit = "nt" if self.gc else "letters"
        return (
            Measure(name="gc_mean", unit="%", title="GC content, mean", kind="share", kept_by_shuffling=True),
            Measure(
                name="gc_wasserstein",
                unit="% points",
                title="GC content, Wasserstein distance",
                kept_by_shuffling=True,
            ),
            Measure(
                name="length_median", unit=unit, title="Length, median", kind="share", kept_by_shuffling=True
            ),
            Measure(
                name="length_wasserstein",
                unit=unit,
                title="Length, Wasserstein distance",
                kept_by_shuffling=True,
            ),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        nothing = np.zeros(len(sequences))
        gc = gc_content(sequences) if self.gc else nothing
        return np.stack([gc, sequences.lengths.astype(np.float64)], axis=1)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        found = np.array([_distances(first[a], second[b]) for a, b in zip(rows, others)])
        return found if self.gc else found[:, 2:]


def _distances(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float, float]:
    from scipy.stats import wasserstein_distance

    gc, other_gc = first[~np.isnan(first[:, 0]), 0], second[~np.isnan(second[:, 0]), 0]
    if not len(gc) or not len(other_gc):
        return (np.nan, np.nan, float(np.median(first[:, 1])), np.nan)
    apart = float(wasserstein_distance(gc, other_gc))
    lengths = float(wasserstein_distance(first[:, 1], second[:, 1]))
    return (float(gc.mean()), apart, float(np.median(first[:, 1])), lengths)
