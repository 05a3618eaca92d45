"""Period three: the mark that the reading frame leaves in the spectrum of coding sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioeval.metrics.counting import BLOCK
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

LEAST_LETTERS = 60


def period_three(sequences: SequenceSet) -> np.ndarray:
    """Power of the letters' Fourier transform at frequency 1/3 over its mean, float64 [n], 0 or more.

    With u_b(j) 1 where letter b stands and U_b its transform, S(f) = sum_b |U_b(f)|^2 at f = i/N; the value
    is S(1/3) / mean of S over i = 1 .. N - 1 (without the constant part). Independent letters give about 1;
    genes above 4. The sequence is cut to whole triplets. NaN below 60 letters. Parseval's theorem gives the
    mean from the counts, so time is linear in the length: mean S = (N sum n_b - sum n_b^2) / (N - 1).

    Source: Tiwari et al. 1997 (doi:10.1093/bioinformatics/13.3.263), signal to noise of the peak.

    >>> period_three(SequenceSet.from_strings(["ACG" * 30, "ACGT" * 21])).round(6).tolist()
    [44.5, 0.0]
    """
    whole = sequences.lengths // 3 * 3
    counts = np.zeros((len(sequences), sequences.other, 3), dtype=np.int64)
    for rows, block, _ in sequences.pieces(max(BLOCK // 3, 1) * 3):
        counts[rows] += _letters_by_phase(block, block.lengths // 3 * 3)
    turns = np.exp(-2j * np.pi * np.arange(3) / 3)
    peak = (np.abs(counts @ turns) ** 2).sum(axis=1)
    totals = counts.sum(axis=2).astype(np.float64)
    mean = (whole * totals.sum(axis=1) - (totals**2).sum(axis=1)) / np.maximum(whole - 1, 1)
    usable = (whole >= LEAST_LETTERS) & (mean > 0)
    return np.divide(peak, mean, out=np.full(len(sequences), np.nan), where=usable)


def _letters_by_phase(sequences: SequenceSet, whole: np.ndarray) -> np.ndarray:
    """How often each letter stands first, second and third in the triplets of each, [n, letters, 3]."""
    rows, size = sequences.rows_of_positions(), sequences.other
    offsets = np.arange(len(rows)) - sequences.starts[rows]
    kept = (sequences.codes < size) & (offsets < whole[rows])
    cells = (rows[kept] * size + sequences.codes[kept]) * 3 + offsets[kept] % 3
    return np.bincount(cells, minlength=3 * size * len(sequences)).reshape(len(sequences), size, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodicity:
    """Median period-3 peak, and Wasserstein-1 distance of the peaks' distributions."""

    @classmethod
    def of_run(cls, setting: Setting) -> list[Periodicity]:
        """Of nucleotides long enough for a spectrum."""
        setting.need_nucleotides()
        setting.need_length(LEAST_LETTERS)
        return [cls()]

    @property
    def measures(self) -> tuple[Measure, ...]:
        unit = "times the mean power"
        return (
            Measure(name="period3_median", unit=unit, title="Period-3 peak, median", kind="share"),
            Measure(name="period3_wasserstein", unit=unit, title="Period-3 peak, Wasserstein distance"),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return period_three(sequences)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        from scipy.stats import wasserstein_distance

        result = np.full((len(rows), 2), np.nan)
        for at, (chosen, other) in enumerate(zip(rows, others)):
            a, b = first[chosen], second[other]
            a, b = a[~np.isnan(a)], b[~np.isnan(b)]
            if len(a) and len(b):
                result[at] = np.median(a), wasserstein_distance(a, b)
        return result
