"""Mutual information of letters at a distance: order that k-mers are too short to see.

Source: Li 1990 and Grosse, Herzel, Buldyrev and Stanley 2000 (doi:10.1103/PhysRevE.61.5624):
I(d) = sum_ab p_ab(d) log2(p_ab(d) / (p_a p_b)), p_ab(d) the share of pairs of letters d apart that are a, b,
and p_a, p_b their shares among these pairs. N independent pairs show (4 - 1)^2 / (2 N ln 2) bits on average,
which is taken off, so a value below 0 is noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import OTHER
from bioeval.metrics.counting import BLOCK
from bioeval.metrics.kmer import subset_totals
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

DISTANCES = (1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 21, 24, 30, 31, 32, 60, 61, 62, 120, 121, 122, 300, 301, 302,
             600, 601, 602, 1200, 2400, 4800, 9600)  # fmt: skip
"""Letters apart; triples of neighbours show the reading frame."""

FAR = 30
LEAST_PAIRS = 1000
_CELLS = OTHER * OTHER


def pair_counts(sequences: SequenceSet, distances: tuple[int, ...]) -> np.ndarray:
    """Pairs of letters at each distance within each sequence, int32 [n, distances x 16].

    Args:
        sequences: of nucleotides.
        distances: letters apart, each at least 1.

    >>> pair_counts(SequenceSet.from_strings(["ACA"]), (2,)).nonzero()[1].tolist()
    [0]
    """
    table = np.zeros((len(sequences), len(distances) * _CELLS), dtype=np.int32)
    for rows, block, own in sequences.pieces(BLOCK, overlap=max(distances)):
        table[rows] += _pairs_of_block(block, distances, own)
    return table


def _pairs_of_block(sequences: SequenceSet, distances: tuple[int, ...], own: int) -> np.ndarray:
    """Pairs whose first letter is among the first `own` codes."""
    table = np.zeros((len(sequences), len(distances), _CELLS), dtype=np.int32)
    rows, codes = sequences.rows_of_positions(), sequences.codes
    for column, d in enumerate(distances):
        if d >= len(codes):
            break
        left, firsts = codes[: min(own, len(codes) - d)], rows[: min(own, len(codes) - d)]
        right, seconds = codes[d : d + len(left)], rows[d : d + len(left)]
        kept = (left < OTHER) & (right < OTHER) & (firsts == seconds)
        cells = firsts[kept] * _CELLS + left[kept].astype(np.int64) * OTHER + right[kept]
        table[:, column] = np.bincount(cells, minlength=_CELLS * len(sequences)).reshape(-1, _CELLS)
    return table.reshape(len(sequences), -1)


def mutual_information(counts: np.ndarray) -> np.ndarray:
    """I in bits of counts of pairs [..., 16], less what as many independent pairs show; NaN without a pair.

    >>> same, mixed = np.zeros(16), np.ones(16)
    >>> same[[0, 5, 10, 15]] = 1e9
    >>> mutual_information(np.stack([same, 1e9 * mixed])).round(6).tolist()
    [2.0, -0.0]
    """
    pairs = counts.reshape(*counts.shape[:-1], OTHER, OTHER).astype(np.float64)
    total = pairs.sum(axis=(-2, -1), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = pairs / total
        expected = p.sum(axis=-1, keepdims=True) * p.sum(axis=-2, keepdims=True)
        ratio = np.where(p > 0, p / np.where(expected > 0, expected, 1), 1)
        bias = (OTHER - 1) ** 2 / (2 * np.log(2) * total[..., 0, 0])
        return (p * np.log2(ratio)).sum(axis=(-2, -1)) - bias


@dataclass(frozen=True, slots=True, kw_only=True)
class MutualInformation:
    """Mean I at 30 letters and more, and the mean absolute difference of the profiles, in millibits.

    Only distances count at which both sides of every comparison have pairs; which those are stays the same
    for all subsets of a run.

    Attributes:
        distances: letters apart.
    """

    distances: tuple[int, ...] = tuple(d for d in DISTANCES if d <= 62)

    @classmethod
    def of_run(cls, setting: Setting) -> list[MutualInformation]:
        """The distances at which both sets have 1,000 pairs."""
        setting.need_nucleotides()
        sets = (setting.generated, setting.reference)
        pairs = {d: min(int(np.maximum(s.lengths - d, 0).sum()) for s in sets) for d in DISTANCES}
        return [cls(distances=tuple(d for d in DISTANCES if d <= FAR or pairs[d] >= LEAST_PAIRS))]

    @property
    def measures(self) -> tuple[Measure, ...]:
        far = f"Mutual information of letters {FAR} to {max(self.distances):,} apart, mean"
        near = f"Mutual information 1 to {max(self.distances):,} letters apart, difference of profiles"
        return (
            Measure(name="mutual_information_far", unit="millibits", title=far, kind="share"),
            Measure(name="mutual_information_profile", unit="millibits", title=near),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return pair_counts(sequences, self.distances)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        profiles = [self.profiles(first, rows), self.profiles(second, others)]
        far = np.array(self.distances) >= FAR
        apart = _mean_known(np.abs(profiles[0] - profiles[1]))
        return 1000 * np.stack([_mean_known(profiles[0][:, far]), apart], axis=-1)

    def profiles(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """I in bits at every distance, of each subset, float64 [B, distances]."""
        totals = subset_totals(features, rows)
        return mutual_information(totals.reshape(len(rows), len(self.distances), _CELLS))


def _mean_known(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
