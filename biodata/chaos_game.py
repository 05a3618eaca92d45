"""k-mers by number, and their frequencies as a picture: the frequency chaos game representation (FCGR).

Source: Jeffrey 1990 (doi:10.1093/nar/18.8.2163), Almeida et al. 2001 (doi:10.1093/bioinformatics/17.5.429).
The last k letters of the chaos game fix the cell of side 2^-k that its point lies in, so the frequency matrix
of order k is the table of k-mers, arranged.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from biodata.errors import ConfigError

OTHER = 4
"""Code of every letter that is not A 0, C 1, G 2 or T 3; no k-mer holds one."""

Corners = Mapping[str, tuple[float, float]]
JEFFREY: Corners = {"A": (0, 0), "C": (0, 1), "G": (1, 1), "T": (1, 0)}
"""Corners in the unit square as (x, y), y upwards. Other programs use others: say which."""


def kmer_codes(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of the k-mer at every position of a buffer, and whether it is one.

    Args:
        codes: uint8, A 0, C 1, G 2, T 3, anything from 4 up breaks windows.
        k: letters a window, 1 to 31.

    Returns:
        `(numbers, valid)`, both of length `len(codes) - k + 1`: unsigned integers of the least width that
        holds them, the first letter being the most significant base-4 digit (so the alphabetical rank of the
        k-mer), and bool.

    Raises:
        ConfigError: k out of range.

    >>> numbers, valid = kmer_codes(np.array([0, 1, 3, 4, 2], dtype=np.uint8), 2)
    >>> numbers[valid].tolist(), valid.tolist()
    ([1, 7], [True, True, False, False])
    """
    if not 1 <= k <= 31:
        raise ConfigError(f"k = {k} is out of range, allowed: 1 to 31")
    size = max(len(codes) - k + 1, 0)
    width = np.uint16 if k <= 8 else np.uint32 if k <= 16 else np.uint64
    result, whole, done = (codes & 3).astype(width), codes < OTHER, 1
    # doubling: a window of length a + b is a window of a followed by one of b
    while done < k:
        step = min(done, k - done)
        keep = max(len(codes) - done - step + 1, 0)
        tail, tail_valid = (result, whole) if step == done else kmer_codes(codes, step)
        tail = tail.astype(width, copy=False)
        result = (result[:keep] << width(2 * step)) | tail[done : done + keep]
        whole = whole[:keep] & tail_valid[done : done + keep]
        done += step
    return result[:size], whole[:size]


def fcgr(counts: np.ndarray, *, corners: Corners = JEFFREY) -> np.ndarray:
    """Arranges k-mer counts as the frequency matrix of the chaos game.

    Args:
        counts: [.., 4^k] in alphabetical order of the k-mers.
        corners: corners of the unit square; x and y must be 0 or 1.

    Returns:
        [.., 2^k, 2^k] of the same type; row 0 is the top (largest y), column 0 the left.

    >>> fcgr(np.array([1, 2, 3, 4])).tolist()
    [[2, 3], [1, 4]]
    """
    size = counts.shape[-1]
    k = (size.bit_length() - 1) // 2
    if size != 4**k or k < 1:
        raise ConfigError(f"{size} counts are no table of k-mers, allowed: 4^k with k >= 1")
    columns, heights = fcgr_cells(k, corners=corners)
    matrix = np.zeros((*counts.shape[:-1], 2**k, 2**k), dtype=counts.dtype)
    matrix[..., 2**k - 1 - heights, columns] = counts
    return matrix


def fcgr_cells(k: int, *, corners: Corners = JEFFREY) -> tuple[np.ndarray, np.ndarray]:
    """Column and height (from below) of each k-mer: letter j of k adds its corner times 2^(j-1).

    >>> [axis.tolist() for axis in fcgr_cells(1)]
    [[0, 0, 1, 1], [0, 1, 1, 0]]
    """
    table = corner_table(corners)
    if not np.isin(table, (0, 1)).all():
        raise ConfigError(f"corners {dict(corners)} are not those of the unit square")
    bits = table.astype(np.int64)
    columns, heights = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for position in range(k):  # each pass appends a letter, which becomes the most significant bit
        columns = (columns[:, None] + (bits[:, 0] << position)).ravel()
        heights = (heights[:, None] + (bits[:, 1] << position)).ravel()
    return columns, heights


def kmer_rows(codes: np.ndarray, k: int) -> np.ndarray:
    """k-mer counts of each row, int64 [n, 4^k], in alphabetical order.

    Args:
        codes: uint8 [n, length]; shorter rows end in `OTHER`.
        k: 1 to 12.

    >>> kmer_rows(np.array([[0, 0, 1], [3, 4, 4]], dtype=np.uint8), 1).tolist()
    [[2, 1, 0, 0], [0, 0, 0, 1]]
    """
    rows, length = codes.shape
    apart = np.full((rows, length + 1), OTHER, dtype=np.uint8)
    apart[:, :length] = codes
    numbers, valid = kmer_codes(apart.ravel(), k)
    owner = np.arange(len(numbers)) // (length + 1)
    cells = (owner * 4**k + numbers)[valid]
    return np.bincount(cells, minlength=rows * 4**k).reshape(rows, 4**k)


def corner_table(corners: Corners) -> np.ndarray:
    """Corners of A, C, G, T, float64 [4, 2].

    Raises:
        ConfigError: corners of other letters.
    """
    if sorted(corners) != ["A", "C", "G", "T"]:
        raise ConfigError(f"corners are given for {', '.join(sorted(corners))}, wanted: A, C, G, T")
    return np.array([corners[letter] for letter in "ACGT"], dtype=np.float64)
