"""Chaos game representation of DNA.

Source: Jeffrey 1990 (doi:10.1093/nar/18.8.2163). P_0 is the centre of the unit square and
P_i = (P_{i-1} + corner(s_i)) / 2; the frequency matrix is `biodata.chaos_game.fcgr`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from biodata.chaos_game import JEFFREY, OTHER, Corners, corner_table

_BLOCK = 1 << 16  # letters at a time


def cgr_points(codes: np.ndarray, *, corners: Corners = JEFFREY) -> np.ndarray:
    """The chaos game of one sequence, float64 [letters that are A, C, G or T, 2].

    A letter other than A, C, G, T gives no point and the game starts anew at the centre after it, so that
    point i of a run still stands for the k-mer that ends there. Bit-identical to the loop. double precision
    cannot tell histories beyond about 50 letters: points are for pictures and geometry, not for decoding.

    Args:
        codes: uint8 A 0, C 1, G 2, T 3, else 4 or more.
        corners: where the four letters are.

    >>> cgr_points(np.array([0, 2], dtype=np.uint8)).tolist()
    [[0.25, 0.25], [0.625, 0.625]]
    """
    table = corner_table(corners)
    return walks(codes, table, centre=table.mean(axis=0))


def walks(codes: np.ndarray, corners: np.ndarray, *, centre: np.ndarray | None = None) -> np.ndarray:
    """Half-way walks towards the corners of letters, float64 [letters that are A, C, G or T, dimensions].

    Args:
        codes: see `cgr_points`.
        corners: [4, dimensions].
        centre: where each run begins; by default at the corner of its first letter.
    """
    from scipy.signal import lfilter

    points = np.empty((int(np.count_nonzero(codes < OTHER)), corners.shape[1]))
    done = 0
    for run in _runs(codes):
        state = 0.5 * (corners[run[0]] if centre is None else centre)
        for start in range(0, len(run), _BLOCK):
            targets = corners[run[start : start + _BLOCK]]
            for d, target in enumerate(targets.T):
                walk, last = lfilter([0.5], [1.0, -0.5], target, zi=state[d : d + 1])
                points[done : done + len(target), d], state[d] = walk, last[0]
            done += len(targets)
    return points


def _runs(codes: np.ndarray) -> list[np.ndarray]:
    """The stretches of A, C, G, T."""
    breaks = np.flatnonzero(codes >= OTHER)
    bounds = np.concatenate([[-1], breaks, [len(codes)]])
    return [codes[a + 1 : b] for a, b in pairwise(bounds) if b - a > 1]
