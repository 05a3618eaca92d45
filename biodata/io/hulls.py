"""The intervals of a whole column of locations at once; `biodata.io.locations.hull` says what they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.io.locations import hull

Int64s = npt.NDArray[np.int64]

_POWERS = 10 ** np.arange(18, dtype=np.int64)
_MOST_DIGITS = len(_POWERS)


class Hulls(NamedTuple):
    """`hull` of every location, and whether its numbers ever fall from one to the next.

    On a circular record such a location may run over the origin.
    """

    start: Int64s
    end: Int64s
    strand: npt.NDArray[np.int8]
    falls: npt.NDArray[np.bool_]


def hulls(locations: pa.Array) -> Hulls:
    """`biodata.io.locations.hull` of a column of strings without nulls, most of it without a Python loop.

    >>> h = hulls(pa.array(["12..30", "complement(join(5..7,90..>99))", "3^4", "9..1"]))
    >>> h.start.tolist(), h.end.tolist(), h.strand.tolist(), h.falls.tolist()
    ([11, 4, 3, 0], [30, 99, 3, 9], [1, -1, 1, 1], [False, False, False, True])
    """
    n = len(locations)
    offsets = np.frombuffer(locations.buffers()[1], np.int32)[locations.offset : locations.offset + n + 1]
    data = np.frombuffer(locations.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    digit = (data >= 48) & (data <= 57)
    strand, slow = _strands(data, offsets, digit)
    numbers, rows, too_long = _numbers(data, offsets, digit)
    slow[too_long] = True
    start, end = np.zeros(n, np.int64), np.zeros(n, np.int64)
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    found = rows[firsts]
    slow |= np.bincount(found, minlength=n) == 0
    if len(found):
        start[found] = np.maximum(np.minimum.reduceat(numbers, firsts) - 1, 0)
        end[found] = np.maximum.reduceat(numbers, firsts)
    for row in np.flatnonzero(slow).tolist():
        start[row], end[row], strand[row] = hull(locations[row].as_py())
    falls = np.zeros(n, np.bool_)
    falls[rows[1:][(rows[1:] == rows[:-1]) & (numbers[1:] < numbers[:-1])]] = True
    falls[too_long] = True
    return Hulls(start, end, strand, falls)


def _strands(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32], digit: npt.NDArray[np.bool_]):
    """Strands, and which rows are not plain enough; looks at each arrangement of brackets once."""
    before = np.concatenate([[0], np.cumsum(digit, dtype=np.int32)])[offsets]
    rest = pa.py_buffer(data[~digit])
    bounds = pa.py_buffer((offsets - before).astype(np.int32))
    shapes = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, bounds, rest]).dictionary_encode()
    kinds = np.array([_strand_of(shape) for shape in shapes.dictionary.to_pylist()], np.int8)
    strand = kinds[shapes.indices.to_numpy()] if len(shapes) else np.empty(0, np.int8)
    return strand, strand == 0


def _strand_of(shape: bytes) -> int:
    """1 or -1 for a location without its digits, 0 if it must be looked at as a whole."""
    if b":" in shape or b"^" in shape:
        return 0
    if b"complement" not in shape:
        return 1
    return -1 if shape.startswith(b"complement") and shape.count(b"complement") == 1 else 0


def _numbers(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32], digit: npt.NDArray[np.bool_]
) -> tuple[Int64s, Int64s, Int64s]:
    """All numbers, the row of each, and the rows with a number too long for the arithmetic."""
    at = np.flatnonzero(digit)
    if not len(at):
        empty = np.empty(0, np.int64)
        return empty, empty, empty
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[at]
    first = np.flatnonzero(np.r_[True, (np.diff(at) > 1) | (np.diff(row) > 0)])
    length = np.diff(np.r_[first, len(at)])
    exponent = np.repeat(first + length, length) - 1 - np.arange(len(at))
    digits = (data[at] - 48) * _POWERS[np.minimum(exponent, _MOST_DIGITS - 1)]
    return np.add.reduceat(digits, first), row[first], row[first[length > _MOST_DIGITS]]
