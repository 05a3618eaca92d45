"""Integer chaos game representation: three integers that are the sequence, exactly, whatever its length.

Source: Yin 2019 (doi:10.1089/cmb.2018.0173, arXiv:1712.04546): x_1 = a_1, x_i = x_{i-1} + 2^(i-1) a_i and the
same for y, with the corner (a_i, b_i) of letter i. Two bits a letter, read back from the signs. Python's
integers have no largest one, so neither has the sequence; the published program ends at 1,024 letters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from biodata.chaos_game import Corners
from biodata.errors import ConfigError, DataError

YIN: Corners = {"A": (1, 1), "T": (-1, 1), "C": (-1, -1), "G": (1, -1)}
"""Corners as Yin has them, (x, y). Others can be given; to read back, the same ones are needed."""


class IntegerPoint(NamedTuple):
    """Number of letters and the two coordinates of the last point."""

    length: int
    x: int
    y: int


def encode(sequence: str, *, corners: Corners = YIN) -> IntegerPoint:
    """The integers of a sequence of A, C, G, T (U as T, either case).

    Args:
        sequence: any length; another letter has no corner.
        corners: the four (+-1, +-1), each one letter's.

    Raises:
        ConfigError: corners that are not these four.
        DataError: another letter; nothing is put in its place.

    >>> encode("AC"), encode("")
    (IntegerPoint(length=2, x=-1, y=-1), IntegerPoint(length=0, x=0, y=0))
    """
    _check(corners)
    text = sequence.upper().replace("U", "T")
    if wrong := sorted(set(text) - set("ACGT")):
        place = next(i for i, letter in enumerate(text) if letter in wrong)
        raise DataError(
            f"letter {text[place]!r} at position {place + 1} has no corner", hint="A, C, G, T, U have"
        )
    codes = np.frombuffer(text.encode(), dtype=np.uint8)
    return IntegerPoint(len(text), *(_number(codes, axis, corners) for axis in (0, 1)))


def decode(point: IntegerPoint, *, corners: Corners = YIN) -> str:
    """The sequence of three integers, as upper-case DNA.

    Args:
        point: what `encode` gave.
        corners: those that were used there.

    Raises:
        DataError: three integers that no sequence has.

    >>> decode(encode("GATTACA" * 1000)) == "GATTACA" * 1000
    True
    """
    _check(corners)
    full = (1 << point.length) - 1
    letters = {corner: letter for letter, corner in corners.items()}
    bits = []
    for value in (point.x, point.y):
        doubled = value + full
        if doubled % 2 or not 0 <= doubled // 2 <= full:
            raise DataError(f"{value} is no coordinate of {point.length} letters")
        data = (doubled // 2).to_bytes(-(-point.length // 8), "little")
        bits.append(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: point.length])
    spelling = [letters[(2 * a - 1, 2 * b - 1)] for a in (0, 1) for b in (0, 1)]
    table = np.frombuffer("".join(spelling).encode(), dtype=np.uint8)
    return table[2 * bits[0] + bits[1]].tobytes().decode()


def _number(codes: np.ndarray, axis: int, corners: Corners) -> int:
    """sum of +-2^(i-1): twice the number whose bits are the positive letters, less 2^n - 1."""
    positive = np.zeros(256, dtype=np.uint8)
    for letter, corner in corners.items():
        positive[ord(letter)] = corner[axis] > 0
    data = np.packbits(positive[codes], bitorder="little").tobytes()
    return 2 * int.from_bytes(data, "little") - ((1 << len(codes)) - 1)


def _check(corners: Corners) -> None:
    wanted = {(a, b) for a in (-1, 1) for b in (-1, 1)}
    if sorted(corners) != ["A", "C", "G", "T"] or set(corners.values()) != wanted:
        raise ConfigError(
            f"corners {dict(corners)}: wanted are (1, 1), (1, -1), (-1, 1), (-1, -1), each once"
        )
