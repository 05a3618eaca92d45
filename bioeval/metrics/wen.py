"""Wen's method: moments of inertia of the letters on a Fermat spiral, in two forms.

Source: Mo, Wen et al. 2018 (doi:10.1038/s41598-018-26005-3). Position K of n letters stands at angle
theta = 2 pi (K - 1) / (n - 1) and radius sqrt(theta); its mass comes from its neighbours: with 1 for a letter
like it and 0 for another, the pattern of (one before, itself, one and two after) weighs
0100 1/6, 0101 2/6, 1100 and 0110 3/6, 1101 4/6, 1110 and 0111 5/6, 1111 6/6; the first, the last two and
other positions without all neighbours weigh 0, those beyond letter 5,000 times 0.0375.

`variant = "dvq"` is what the package dvq computes under this name, as it is: the i-th A (C, G, T) takes the
mass of position i of the sequence, its distance is that of its point from the point times its mass, and the
sum is divided by the mass of all letters: sqrt(sum m (1 - m)^2 rho^2 / sum M). `variant = "textbook"` is the
radius of gyration: masses by position, about the centre of mass of the letter, divided by the letter's mass.
The paper's own equations were not at hand, so neither is claimed to be them. dvq's form told three simple
kinds of random sequence from uniform ones because base counts leak into it; the textbook form did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from biodata.errors import ConfigError
from bioeval.metrics.energy import energy_distances
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

Variant = Literal["dvq", "textbook"]
_FAR, _FACTOR = 5000, 0.0375
_BLOCK = 1 << 18  # letters at a time
_MASSES = np.zeros(16)
for _pattern, _sixths in ((0b0100, 1), (0b0101, 2), (0b1100, 3), (0b0110, 3), (0b1101, 4), (0b1110, 5),
                          (0b0111, 5), (0b1111, 6)):  # fmt: skip
    _MASSES[_pattern] = _sixths / 6


def masses(codes: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
    """The mass of every position, 0 to 1.

    Args:
        codes: uint8 of one sequence; a letter that is none is like no other.
        start: first position asked for.
        stop: the one after the last; `None` for the end.

    >>> (6 * masses(np.array([0, 0, 0, 0, 1, 2], dtype=np.uint8))).round().tolist()
    [0.0, 6.0, 5.0, 3.0, 0.0, 0.0]
    """
    stop = len(codes) if stop is None else stop
    result = np.zeros(stop - start)
    first, last = max(start, 1), min(stop, len(codes) - 2)
    if first < last:
        middle = codes[first:last]
        pattern = np.full(len(middle), 0b0100, dtype=np.uint8)
        for bit, apart in ((0b1000, -1), (0b0010, 1), (0b0001, 2)):
            pattern += np.uint8(bit) * ((codes[first + apart : last + apart] == middle) & (middle < 4))
        result[first - start : last - start] = _MASSES[pattern]
    result[max(_FAR + 1 - start, 0) :] *= _FACTOR
    return result


def moments(codes: np.ndarray, *, variant: Variant = "dvq") -> np.ndarray:
    """The four descriptors of a sequence, of A, C, G and T; 0 for a letter without mass.

    Sums are taken a block of letters at a time, so that memory does not grow with the sequence.

    Args:
        codes: uint8 of one sequence, A 0, C 1, G 2, T 3.
        variant: see the module.

    >>> moments(np.zeros(9, dtype=np.uint8)).tolist()  # masses of 1 leave no distance in dvq's form
    [0.0, 0.0, 0.0, 0.0]
    """
    return _as_in_dvq(codes) if variant == "dvq" else _radii_of_gyration(codes)


def _as_in_dvq(codes: np.ndarray) -> np.ndarray:
    total, done, sums = 0.0, [0] * 4, np.zeros(4)
    for start, stop in _blocks(codes):
        total += masses(codes, start, stop).sum()
        for letter, theta in enumerate(_angles(codes, start, stop)):
            own = masses(codes, done[letter], done[letter] + len(theta))
            sums[letter] += (own * (1 - own) ** 2 * theta).sum()
            done[letter] += len(theta)
    return np.sqrt(sums / total) if total else sums


def _radii_of_gyration(codes: np.ndarray) -> np.ndarray:
    totals, centres, sums = np.zeros(4), np.zeros((4, 2)), np.zeros(4)
    for start, stop in _blocks(codes):
        mass, letters = masses(codes, start, stop), codes[start:stop]
        totals += [mass[letters == letter].sum() for letter in range(4)]
    for letter, own, points in _weighed(codes, totals):
        centres[letter] += own @ points
    for letter, own, points in _weighed(codes, totals):
        sums[letter] += (own * ((points - centres[letter]) ** 2).sum(axis=1)).sum()
    return np.sqrt(sums)


def _weighed(codes: np.ndarray, totals: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Letters with mass, a block at a time: shares of the letter's mass, and points of the spiral."""
    for start, stop in _blocks(codes):
        mass, letters = masses(codes, start, stop), codes[start:stop]
        for letter, theta in enumerate(_angles(codes, start, stop)):
            if totals[letter]:
                points = np.sqrt(theta)[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
                yield letter, mass[letters == letter] / totals[letter], points


def _angles(codes: np.ndarray, start: int, stop: int) -> list[np.ndarray]:
    """theta of the places of A, C, G and T in a block."""
    places = (start + np.flatnonzero(codes[start:stop] == letter) for letter in range(4))
    return [2 * np.pi * place / max(len(codes) - 1, 1) for place in places]


def _blocks(codes: np.ndarray) -> Iterator[tuple[int, int]]:
    for start in range(0, len(codes), _BLOCK):
        yield start, min(start + _BLOCK, len(codes))


@dataclass(frozen=True, slots=True, kw_only=True)
class WenDistance:
    """Energy distance of the sets of descriptors of both forms, in radii of the spiral (its end has 2.5).

    Two sequences are as far apart as their four descriptors (Euclid); of sets the energy distance
    (`bioeval.metrics.energy`) makes one number of it.
    """

    @classmethod
    def of_run(cls, setting: Setting) -> list[WenDistance]:
        """Both forms."""
        setting.need_nucleotides()
        return [cls()]

    @property
    def measures(self) -> tuple[Measure, ...]:
        said = {"dvq": "as in dvq", "textbook": "radius of gyration"}
        return tuple(
            Measure(name=f"wen_{v}", unit="spiral radius", title=f"Wen's spiral moments, {said[v]}")
            for v in get_args(Variant)
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        rows = (sequences.row_codes(row) for row in range(len(sequences)))
        return np.array([[moments(codes, variant=v) for v in get_args(Variant)] for codes in rows])

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        if first.shape[1:] != (2, 4):
            raise ConfigError(f"features of shape {first.shape} are not those of Wen's method")
        columns = [energy_distances(first[:, v], second[:, v], rows=rows, others=others) for v in (0, 1)]
        return np.stack(columns, axis=-1)
