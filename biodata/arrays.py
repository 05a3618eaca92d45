"""Between NumPy and Arrow.

`pyarrow.array`, `pyarrow.scalar` and `Array.to_numpy` do the same, but the first call of a process imports
pandas where that is installed: a fifth of a second before the first row of every file. What every file goes
through is therefore written with this; elsewhere those are fine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def arrow(values: npt.NDArray[Any]) -> pa.Array:
    """A column without nulls; numbers are not copied, so the array must not be changed afterwards.

    Args:
        values: numbers or booleans, [n].

    >>> arrow(np.array([3, 5])).to_pylist(), arrow(np.array([True, False])).to_pylist()
    ([3, 5], [True, False])
    """
    kind = pa.from_numpy_dtype(values.dtype)
    # Arrow packs booleans, the first one into the lowest bit
    data = np.packbits(values, bitorder="little") if kind == pa.bool_() else np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The different values in order, as `numpy.unique` without options.

    Since numpy 2.3 that goes through a hash table, which for millions of different integers takes 20 times as
    long as sorting them.

    Args:
        values: numbers, [n].

    >>> distinct(np.array([3, 1, 3, 2])).tolist(), distinct(np.zeros(0, np.int64)).tolist()
    ([1, 2, 3], [])
    """
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def arrow_text(text: str) -> pa.StringScalar:
    """A text as a scalar.

    >>> arrow_text("dna").as_py()
    'dna'
    """
    data = text.encode()
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    return pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(data)])[0]


def text_lengths(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of every text of a column without nulls, [n].

    >>> text_lengths(pa.array(["ACGT", "", "AC"], pa.large_string()).slice(1)).tolist()
    [0, 2]
    """
    offsets = np.int32 if pa.types.is_string(texts.type) else np.int64
    ends = np.frombuffer(texts.buffers()[1] or b"", offsets)[texts.offset : texts.offset + len(texts) + 1]
    return np.diff(ends).astype(np.int64, copy=False)


def arrow_stream(data: bytes) -> pa.BufferReader:
    """A copy of some bytes for Arrow to read.

    Of bytes that Python holds Arrow's threads let go on their own, after the reader has returned; where the
    process ends in that moment it aborts ("terminate called without an active exception").

    Args:
        data: a file's content.

    >>> arrow_stream(b"a,b").read()
    b'a,b'
    """
    held = pa.BufferOutputStream()
    held.write(data)
    return pa.BufferReader(held.getvalue())
