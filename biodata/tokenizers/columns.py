"""Columns of sequences as contiguous bytes: the part of encoding that is the same for all tables of k-mers.

Rows are joined by Arrow into one buffer in which each row starts at a multiple of the stride, so that one
strided computation over the buffer serves all rows, whatever their lengths. No step works row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import DataError
from biodata.tokenizers.protocol import Encoded, SequenceColumn
from biodata.tokenizers.special import BOS, EOS, UNK

CHUNK_LETTERS = 1 << 20
"""Letters encoded at a time: intermediate arrays stay in the processor's cache. Longer rows go alone."""

_SPECIAL_TEXT = pc.MatchSubstringOptions(r"<[a-z]+(_\d+)?>")
_BEYOND_ASCII = pc.ReplaceSubstringOptions(r"[^\x00-\x7F]", "?")


def chunks_of(column: SequenceColumn, *, letters: int = CHUNK_LETTERS) -> Iterator[pa.LargeStringArray]:
    """Slices of a column of at most about `letters` letters, in order.

    Raises:
        DataError: a row is null, or the column holds no strings.
    """
    arrays = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    first_row = 0
    for array in arrays:
        if array.null_count:
            row = first_row + pc.index(array.is_null(), True).as_py()
            raise DataError(
                f"row {row} of the sequence column is null", hint="drop it or write an empty string"
            )
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            raise DataError(f"a column of strings is needed, found {array.type}")
        large = array.cast(pa.large_string())
        ends = _offsets(large)[1:] if len(large) else np.empty(0, np.int64)
        base = _offsets(large)[0] if len(large) else 0
        start = 0
        while start < len(large):
            stop = int(np.searchsorted(ends, base + letters, side="right"))
            stop = max(stop, start + 1)
            yield large.slice(start, stop - start)
            base = ends[stop - 1]
            start = stop
        first_row += len(array)


def byte_lengths(rows: pa.LargeStringArray) -> np.ndarray:
    """Bytes of each row, int64."""
    return np.diff(_offsets(rows)) if len(rows) else np.empty(0, np.int64)


def _offsets(rows: pa.LargeStringArray) -> np.ndarray:
    return np.frombuffer(rows.buffers()[1], np.int64, len(rows) + 1, rows.offset * 8)


def letters_of(rows: pa.LargeStringArray) -> bytes:
    """The letters of all rows, end to end, UTF-8."""
    if not len(rows):
        return b""
    offsets = _offsets(rows)
    data = rows.buffers()[2]
    return data[int(offsets[0]) : int(offsets[-1])].to_pybytes() if data is not None else b""


def one_byte_letters(rows: pa.LargeStringArray) -> pa.LargeStringArray:
    """The rows with every character beyond ASCII written as `?`, so that a byte is a character."""
    if letters_of(rows).isascii():
        return rows
    return pc.call_function("replace_substring_regex", [rows], _BEYOND_ASCII)


def has_special_text(rows: pa.LargeStringArray) -> bool:
    """Whether a special token is written out in a sequence (such as `ATG<mask>AAA`)."""
    if b"<" not in letters_of(rows):
        return False
    return pc.call_function("any", [pc.call_function("match_substring_regex", [rows], _SPECIAL_TEXT)]).as_py()


def join(parts: Iterable[Encoded], dtype: np.dtype) -> Encoded:
    """Encoded chunks as one."""
    parts = list(parts)
    ids = np.concatenate([np.empty(0, dtype), *(p.ids for p in parts)], dtype=dtype)
    sizes = [np.zeros(1, np.int64), *(np.diff(p.offsets) for p in parts)]
    return Encoded(ids, np.cumsum(np.concatenate(sizes)))


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows in one buffer, each in whole slots of `stride` bytes: [bos] letters, padded [eos].

    Attributes:
        letters: the buffer; padding is written as `A` and overwritten or dropped afterwards.
        slots: number of slots.
        bos: slot of each row's `<bos>`, `None` without special tokens; `eos` likewise.
        unk: slots of the `<unk>` that stand for letters no whole window covers.
        keep: which slots are tokens; `None` if all are.
        offsets: first token of each row, and the number of tokens.
    """

    letters: bytes
    slots: int
    bos: np.ndarray | None
    eos: np.ndarray | None
    unk: np.ndarray
    keep: np.ndarray | None
    offsets: np.ndarray

    def finish(self, ids: np.ndarray) -> Encoded:
        """Puts special tokens into the ids of all slots and drops the slots that are no tokens."""
        ids[self.unk] = UNK
        if self.bos is not None and self.eos is not None:
            ids[self.bos] = BOS
            ids[self.eos] = EOS
        return Encoded(ids if self.keep is None else ids[self.keep], self.offsets)


def lay_out(rows: pa.LargeStringArray, *, k: int = 1, stride: int = 1, special: bool = True) -> Layout:
    """Arranges rows of one-byte letters for windows of `k` letters every `stride` letters.

    Args:
        rows: sequences, upper case.
        k: letters of a window, at least 1.
        stride: letters from one window to the next, 1 to `k`.
        special: room for `<bos>` and `<eos>` around every row.

    >>> lay_out(pa.array(["ACGTA", ""], pa.large_string()), k=3, stride=3).letters
    b'AAAACGTAAAAAAAAAAA'
    """
    lengths = byte_lengths(rows)
    whole = np.where(lengths >= k, (lengths - k) // stride + 1, 0)
    covered = np.where(whole > 0, (whole - 1) * stride + k, 0)
    partial = covered < lengths
    tokens = whole + partial
    width = -(-lengths // stride) + 2 * special
    starts = np.cumsum(width) - width
    ends = starts + special + tokens
    return Layout(
        letters=_padded(rows, lengths, stride, special),
        slots=int(width.sum()),
        bos=starts if special else None,
        eos=ends if special else None,
        unk=(ends - 1)[partial],
        keep=None if stride == k else _kept(ends + special, starts + width),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(tokens + 2 * special)]),
    )


def _padded(rows: pa.LargeStringArray, lengths: np.ndarray, stride: int, special: bool) -> bytes:
    ends = pa.array(["A" * (pad + stride * special) for pad in range(stride)], pa.large_string())
    start = pa.scalar("A" * (stride * special), pa.large_string())
    separator = pa.scalar("", pa.large_string())
    suffix = ends.take(pa.array(-lengths % stride))
    return letters_of(pc.call_function("binary_join_element_wise", [start, rows, suffix, separator]))


def _kept(used: np.ndarray, ends: np.ndarray) -> np.ndarray:
    keep = np.ones(int(ends[-1]) if len(ends) else 0, bool)
    unused = ends - used
    for back in range(1, int(unused.max(initial=0)) + 1):
        keep[(ends - back)[unused >= back]] = False
    return keep
