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
_MASSES = np.zeros(16)
for _pattern, _sixths in ((0b0100, 1), (0b0101, 2), (0b1100, 3), (0b0110, 3), (0b1101, 4), (0b1110, 5),
                          (0b0111, 5), (0b1111, 6)):  # fmt: skip
    _MASSES[_pattern] = _sixths / 6


def masses(codes: np.ndarray) -> np.ndarray:
    """The mass of every position, 0 to 1.

    Args:
        codes: uint8 of one sequence; a letter that is none is like no other.

    >>> (6 * masses(np.array([0, 0, 0, 0, 1, 2], dtype=np.uint8))).round().tolist()
    [0.0, 6.0, 5.0, 3.0, 0.0, 0.0]
    """
    result = np.zeros(len(codes))
    if len(codes) < 4:
        return result
    middle = codes[1:-2]
    pattern = np.full(len(middle), 0b0100, dtype=np.uint8)
    for bit, other in ((0b1000, codes[:-3]), (0b0010, codes[2:-1]), (0b0001, codes[3:])):
        pattern += np.uint8(bit) * ((other == middle) & (middle < 4))
    result[1:-2] = _MASSES[pattern]
    result[_FAR + 1 :] *= _FACTOR
    return result


def moments(codes: np.ndarray, *, variant: Variant = "dvq") -> np.ndarray:
    """The four descriptors of a sequence, of A, C, G and T; 0 for a letter without mass.

    Args:
        codes: uint8 of one sequence, A 0, C 1, G 2, T 3.
        variant: see the module.

    >>> moments(np.zeros(9, dtype=np.uint8)).tolist()  # masses of 1 leave no distance in dvq's form
    [0.0, 0.0, 0.0, 0.0]
    """
    mass = masses(codes)
    result = np.zeros(4)
    if not mass.sum():
        return result
    for letter in range(4):
        places = np.flatnonzero(codes == letter)
        theta = 2 * np.pi * places / max(len(codes) - 1, 1)
        if variant == "dvq":
            own = mass[: len(places)]
            result[letter] = np.sqrt((own * (1 - own) ** 2 * theta).sum() / mass.sum())
        elif mass[places].sum():
            own = mass[places] / mass[places].sum()
            points = np.sqrt(theta)[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
            apart = points - own @ points
            result[letter] = np.sqrt((own * (apart**2).sum(axis=1)).sum())
    return result


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
