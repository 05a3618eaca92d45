"""Distance of two sets as colour squares: how differently letters stand at the same places.

Source of the squares: `biodata.color_square`. A square shows which letter stands where, so two sets are as
far apart as the letters of equal places are differently frequent. One inserted letter moves all after it: the
distance sees the frame of starts and motifs, and means nothing of sequences cut at random places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.color_square import color_square
from biodata.errors import ConfigError
from bioeval.metrics.kmer import subset_totals
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

LARGEST_SIDE = 32


def squares(sequences: SequenceSet, side: int) -> np.ndarray:
    """Colour squares of the first side^2 letters of each sequence, uint8 [n, side, side], white 4.

    >>> squares(SequenceSet.from_strings(["ACGTA"]), 2)[0].tolist()
    [[0, 1], [3, 2]]
    """
    cells = np.full((len(sequences), side * side), sequences.other, dtype=np.uint8)
    for row in range(len(sequences)):
        codes = sequences.row_codes(row)[: side * side]
        cells[row, : len(codes)] = codes
    return color_square(cells, side)


def side_of(*sets: SequenceSet) -> int:
    """The side of a square that holds half of the sequences of every set whole, at most 32 cells."""
    longest = max(float(np.median(s.lengths)) for s in sets)
    return int(np.clip(np.ceil(np.sqrt(longest)), 2, LARGEST_SIDE))


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSquareDistance:
    """Mean over the cells of the total variation distance of their letters, 0 to 1.

    A cell that only one of the sets fills counts as 1 (white against letters), one that neither fills not.

    Attributes:
        side: cells of a side, 2 to 32; letters beyond side^2 are left out.
    """

    side: int = 10

    def __post_init__(self) -> None:
        if not 2 <= self.side <= LARGEST_SIDE:
            raise ConfigError(f"side = {self.side} is out of range, allowed: 2 to {LARGEST_SIDE}")

    @classmethod
    def of_run(cls, setting: Setting) -> list[ColorSquareDistance]:
        """A side that fits half of the sequences."""
        setting.need_nucleotides()
        return [cls(side=side_of(setting.generated, setting.reference))]

    @property
    def measures(self) -> tuple[Measure, ...]:
        title = f"Colour square of {self.side} x {self.side} cells, letters by place"
        return (Measure(name="color_square_tv", unit="total variation", title=title),)

    def features(self, sequences: SequenceSet) -> np.ndarray:
        cells = squares(sequences, self.side).reshape(len(sequences), -1)
        return (cells[..., None] == np.arange(5)).reshape(len(sequences), -1).astype(np.int32)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        shares = []
        for table, chosen in ((first, rows), (second, others)):
            counts = subset_totals(table, chosen).reshape(len(chosen), -1, 5)
            shares.append(counts / np.maximum(counts.sum(axis=2, keepdims=True), 1))
        used = np.minimum(shares[0][..., 4], shares[1][..., 4]) < 1
        apart = np.abs(shares[0] - shares[1]).sum(axis=2) / 2
        return ((apart * used).sum(axis=1) / np.maximum(used.sum(axis=1), 1))[:, None]
