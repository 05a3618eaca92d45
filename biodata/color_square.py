"""Sequences as squares of coloured cells along a spiral, which can be read back.

Source: the five-colour map of Zhang et al. 2012 (MATCH Commun. Math. Comput. Chem. 68:621): letters fill a
square clockwise and inwards from the top left, cells that are left over stay white.
"""

from __future__ import annotations

import numpy as np

from biodata.chaos_game import OTHER
from biodata.errors import ConfigError

COLORS = np.array(
    [(214, 39, 40), (255, 204, 0), (31, 119, 180), (44, 160, 44), (255, 255, 255)], dtype=np.uint8
)
"""Red, green and blue of A, C, G, T and white."""

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)


def spiral(side: int) -> np.ndarray:
    """Cell of each place of the spiral, int64 [side^2], cells numbered in reading order.

    >>> spiral(3).tolist()
    [0, 1, 2, 5, 8, 7, 6, 3, 4]
    """
    left = np.arange(side * side).reshape(side, side)
    pieces = []
    while left.size:
        pieces.append(left[0])
        left = np.rot90(left[1:])
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)


def color_square(codes: np.ndarray, side: int) -> np.ndarray:
    """Cells of each row, uint8 [n, side, side]: A 0, C 1, G 2, T 3, white 4.

    Args:
        codes: uint8 [n, length], A 0, C 1, G 2, T 3, from 4 up white; shorter rows end in these.
        side: cells of a side.

    Raises:
        ConfigError: more letters than cells.

    >>> color_square(np.array([[0, 1, 2, 3, 0]], dtype=np.uint8), 3)[0].tolist()
    [[0, 1, 2], [4, 4, 3], [4, 4, 0]]
    """
    rows, length = codes.shape
    if length > side * side:
        raise ConfigError(f"{length} letters do not fit into a square of {side} x {side} cells")
    cells = np.full((rows, side * side), OTHER, dtype=np.uint8)
    cells[:, spiral(side)[:length]] = np.minimum(codes, OTHER)
    return cells.reshape(rows, side, side)


def square_letters(cells: np.ndarray) -> list[str]:
    """The sequences of squares [n, side, side]; white before the last letter reads N.

    >>> square_letters(np.array([[[0, 1], [4, 3]]], dtype=np.uint8))
    ['ACT']
    """
    order = spiral(cells.shape[-1])
    codes = cells.reshape(len(cells), -1)[:, order]
    used = np.where(codes < OTHER, np.arange(1, codes.shape[1] + 1), 0).max(axis=1, initial=0)
    return [_LETTERS[row[:end]].tobytes().decode() for row, end in zip(codes, used)]
