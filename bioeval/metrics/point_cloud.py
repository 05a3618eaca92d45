"""Chaos-game clouds of whole sets, of which only the points that are asked for are ever computed.

A letter counts half as much as the one after it: what came more than 64 letters ago moves a point by less
than 2^-64 of the side, far below what a float64 of that size tells. Any point can therefore be made from the
letters before it, and memory grows with the points drawn, not with the genome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import OTHER
from bioeval.metrics.sequence_set import SequenceSet

_HISTORY = 64  # letters that make a point
_PIECE = 1 << 12  # letters of which one count is kept: 0.2 % of the memory of the letters
_BLOCK = 1 << 16  # letters counted at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class PointCloud:
    """Chaos-game points of a set, ordered by sequence; of each its own, then those of its other strand.

    A letter that is not A, C, G or T has no point, and the game starts anew after it.

    Attributes:
        sequences: nucleotides, not copied.
        corners: float64 [4, dimensions], of A, C, G, T.
        centre: where each run of letters begins; `None` for the corner of its first letter.
        both_strands: whether the reverse complements belong to the cloud.
        own: int64 [n], letters A, C, G, T of each sequence.
        before: int64 [n], such letters before each sequence.
        pieces: int64, such letters before each piece of the codes.
    """

    sequences: SequenceSet
    corners: np.ndarray
    centre: np.ndarray | None
    both_strands: bool
    own: np.ndarray
    before: np.ndarray
    pieces: np.ndarray

    @classmethod
    def of(
        cls, sequences: SequenceSet, corners: np.ndarray, *, centre: np.ndarray | None, both_strands: bool
    ) -> PointCloud:
        """The cloud of a set.

        Args:
            sequences: nucleotides.
            corners: see the class.
            centre: see the class.
            both_strands: see the class.
        """
        codes = sequences.codes
        pieces = _letters_before(codes, np.arange(0, len(codes) + 1, _PIECE))
        before = _letters_before(codes, np.append(sequences.starts, len(codes)))
        return cls(
            sequences=sequences, corners=corners, centre=centre, both_strands=both_strands,
            own=np.diff(before), before=before[:-1], pieces=pieces,
        )  # fmt: skip

    @property
    def counts(self) -> np.ndarray:
        """int64 [n], points of each sequence."""
        return self.own * (1 + self.both_strands)

    def sample(self, rows: np.ndarray, size: int, *, seed: int) -> np.ndarray:
        """`size` points of the chosen sequences, uniformly, without replacement; equal seeds, equal picks.

        Args:
            rows: bool `[n]`, sequences to draw from.
            size: points, at most as many as these sequences have.
            seed: of the draw.

        Returns:
            float64 [size, dimensions].

        >>> square = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
        >>> cloud = PointCloud.of(SequenceSet.from_strings(["AG", "T"]), square, centre=np.full(2, 0.5),
        ...                       both_strands=False)
        >>> cloud.sample(np.array([True, True]), 3, seed=0).tolist()
        [[0.25, 0.25], [0.625, 0.625], [0.75, 0.25]]
        """
        chosen = np.flatnonzero(rows)
        ends = np.cumsum(self.counts[chosen])
        picks = np.sort(np.random.default_rng(seed).choice(int(ends[-1]), size=size, replace=False))
        owner = chosen[place := np.searchsorted(ends, picks, side="right")]
        offset = picks - (ends[place] - self.counts[owner])
        turned = offset >= self.own[owner]
        letter = np.where(turned, 2 * self.own[owner] - 1 - offset, offset)
        return self._walked(self._places(self.before[owner] + letter), turned)

    def _places(self, letters: np.ndarray) -> np.ndarray:
        """Where in the codes the so many-th letters A, C, G, T stand."""
        codes = self.sequences.codes
        piece = np.searchsorted(self.pieces, letters, side="right") - 1
        offset = letters - self.pieces[piece]
        result = piece * _PIECE + offset
        whole = np.append(np.diff(self.pieces) == _PIECE, False)
        for number in np.unique(piece[~whole[piece]], return_counts=True)[0].tolist():
            here, start = piece == number, number * _PIECE
            result[here] = start + np.flatnonzero(codes[start : start + _PIECE] < OTHER)[offset[here]]
        return result

    def _walked(self, places: np.ndarray, turned: np.ndarray) -> np.ndarray:
        """The points at some places of the codes, or those of the other strand there."""
        codes, points = self.sequences.codes, np.zeros((len(places), self.corners.shape[1]))
        walking = np.zeros((len(places), 1), dtype=bool)
        for back in range(_HISTORY - 1, -1, -1):
            at = np.where(turned, places + back, places - back)
            inside = (at >= 0) & (at < len(codes))
            letter = np.where(inside, codes[np.where(inside, at, 0)], OTHER)[:, None]
            target = self.corners[np.where(turned[:, None], 3 - letter, letter).ravel() & 3]
            origin = np.where(walking, points, target if self.centre is None else self.centre)
            points, walking = (origin + target) / 2, letter < OTHER
        return points


def _letters_before(codes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many A, C, G, T stand before each of some places in order."""
    result, done = np.zeros(len(places), dtype=np.int64), 0
    for start in range(0, len(codes), _BLOCK):
        running = np.cumsum(codes[start : start + _BLOCK] < OTHER, dtype=np.int64)
        low, high = np.searchsorted(places, (start, start + len(running)), side="right")
        result[low:high] = done + running[places[low:high] - start - 1]
        done += int(running[-1])
    return result
