"""Chaos game representation of DNA and its frequency matrix.

Source: Jeffrey 1990 (doi:10.1093/nar/18.8.2163). P_0 is the centre of the unit square and
P_i = (P_{i-1} + corner(s_i)) / 2, so the last k letters fix the cell of side 2^-k that P_i lies in, and the
frequency matrix of order k (Almeida et al. 2001, doi:10.1093/bioinformatics/17.5.429) is the k-mer table.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from biodata.errors import ConfigError
from bioeval.metrics.sequence_set import OTHER, SequenceSet

Corners = Mapping[str, tuple[float, float]]
JEFFREY: Corners = {"A": (0, 0), "C": (0, 1), "G": (1, 1), "T": (1, 0)}
"""Corners in the unit square as (x, y), y upwards. Other programs use others: say which."""


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
    from scipy.signal import lfilter

    table = _corner_table(corners)
    centre = table.mean(axis=0)
    pieces = []
    for run in _runs(codes):
        targets = table[run]
        walks = [lfilter([0.5], [1.0, -0.5], targets[:, d], zi=[0.5 * centre[d]])[0] for d in (0, 1)]
        pieces.append(np.stack(walks, axis=1))
    return np.concatenate(pieces) if pieces else np.zeros((0, 2))


def fcgr(counts: np.ndarray, *, corners: Corners = JEFFREY) -> np.ndarray:
    """Arranges k-mer counts as the frequency matrix of the chaos game.

    Args:
        counts: [4^k] in alphabetical order of the k-mers (`kmer_counts`).
        corners: corners of the unit square; x and y must be 0 or 1.

    Returns:
        [2^k, 2^k] of the same type; row 0 is the top (largest y), column 0 the left.

    >>> fcgr(np.array([1, 2, 3, 4])).tolist()
    [[2, 3], [1, 4]]
    """
    k = (len(counts).bit_length() - 1) // 2
    if len(counts) != 4**k or k < 1:
        raise ConfigError(f"{len(counts)} counts are no table of k-mers, allowed: 4^k with k >= 1")
    columns, heights = fcgr_cells(k, corners=corners)
    matrix = np.zeros((2**k, 2**k), dtype=counts.dtype)
    matrix[2**k - 1 - heights, columns] = counts
    return matrix


def fcgr_cells(k: int, *, corners: Corners = JEFFREY) -> tuple[np.ndarray, np.ndarray]:
    """Column and height (from below) of each k-mer: letter j of k adds its corner times 2^(j-1).

    >>> [axis.tolist() for axis in fcgr_cells(1)]
    [[0, 0, 1, 1], [0, 1, 1, 0]]
    """
    table = _corner_table(corners)
    if not np.isin(table, (0, 1)).all():
        raise ConfigError(f"corners {dict(corners)} are not those of the unit square")
    bits = table.astype(np.int64)
    columns, heights = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for position in range(k):  # each pass appends a letter, which becomes the most significant bit
        columns = (columns[:, None] + (bits[:, 0] << position)).ravel()
        heights = (heights[:, None] + (bits[:, 1] << position)).ravel()
    return columns, heights


def set_points(sequences: SequenceSet, *, corners: Corners = JEFFREY) -> tuple[np.ndarray, np.ndarray]:
    """Chaos-game points of every sequence of a set, and the sequence that each belongs to.

    >>> points, owners = set_points(SequenceSet.from_strings(["A", "CG"]))
    >>> points.shape, owners.tolist()
    ((3, 2), [0, 1, 1])
    """
    return cgr_points(sequences.codes, corners=corners), sequences.rows_of_positions()[
        sequences.codes < OTHER
    ]


def _corner_table(corners: Corners) -> np.ndarray:
    if sorted(corners) != ["A", "C", "G", "T"]:
        raise ConfigError(f"corners are given for {', '.join(sorted(corners))}, wanted: A, C, G, T")
    return np.array([corners[letter] for letter in "ACGT"], dtype=np.float64)


def _runs(codes: np.ndarray) -> list[np.ndarray]:
    """The stretches of A, C, G, T."""
    breaks = np.flatnonzero(codes >= OTHER)
    bounds = np.concatenate([[-1], breaks, [len(codes)]])
    return [codes[a + 1 : b] for a, b in pairwise(bounds) if b - a > 1]
