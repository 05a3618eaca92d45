"""k-mer counts of nucleotides that come in pieces, at about 2 ns a letter."""

from __future__ import annotations

import numpy as np

from biodata.arrays import distinct
from biodata.chaos_game import OTHER, kmer_codes

_PACKED_K = 6
_STRIDE = 4
_PACK = np.uint32(0x40100401)  # brings the 2 bits of each byte of 4 into the highest byte; no sums carry
_CHUNK = 1 << 18  # letters at a time: what is made of them stays in the cache
_ONE = np.uint32(1)
_MOST = 1 << 31  # words that a cell may hold before the table is emptied


class WordCounts:
    """Adds up the k-mers of pieces of code buffers; memory is one table.

    For small k, words of k + 3 letters are counted at every fourth position and taken apart at the end: a
    word holds the four k-mers that begin in its first four letters, so a quarter of the additions to the
    table is left, and letters are packed four at a time. Windows that hold a letter which is none are counted
    as if it were one and taken off again.

    >>> words = WordCounts(1)
    >>> words.add(np.array([0, 1, 4, 1], dtype=np.uint8))
    >>> words.counts().tolist()
    [1, 2, 0, 0]
    """

    def __init__(self, k: int) -> None:
        """Starts with no piece.

        Args:
            k: letters of a k-mer, 1 to 12.
        """
        self.k = k
        self._counts = np.zeros(4**k, dtype=np.int64)
        packed = k <= _PACKED_K
        self._words = np.zeros(4 ** (k + _STRIDE - 1) if packed else 0, dtype=np.uint32)
        self._added = 0
        # room that is used again and again: fresh pages cost more than the work that is done on them
        room = _CHUNK // _STRIDE + _STRIDE if packed else 0
        self._room = np.empty((3, room), dtype=np.uint32)
        self._places = np.empty(room, dtype=np.intp)

    def add(self, codes: np.ndarray) -> None:
        """Adds the windows within a piece; the next piece must begin with its last k - 1 letters.

        Args:
            codes: uint8, A 0, C 1, G 2, T 3, anything from 4 up breaks windows.
        """
        for start in range(0, len(codes) - self.k + 1, _CHUNK):  # windows over borders belong to the first
            self._add(codes[start : start + _CHUNK + self.k - 1])

    def counts(self) -> np.ndarray:
        """int64 [4^k], in alphabetical order of the k-mers."""
        return self.table().copy()

    def table(self) -> np.ndarray:
        """`counts` without a copy: what is added later changes it."""
        self._take_apart()
        return self._counts

    def _add(self, codes: np.ndarray) -> None:
        bad = np.zeros(0, dtype=np.int64)
        if codes.max(initial=0) >= OTHER:
            bad = np.flatnonzero(codes >= OTHER)
        if self.k > _PACKED_K or len(bad) * 8 * self.k > len(codes):
            self._add_windows(codes)
            return
        if len(bad):
            codes = codes & 3
            self._counts -= _count_at(codes, bad, self.k)
        numbers = self._words_at_fours(codes)
        np.add.at(self._words, numbers, _ONE)
        self._add_windows(codes[_STRIDE * len(numbers) :])
        self._added += len(numbers)
        if self._added > _MOST:
            self._take_apart()

    def _add_windows(self, codes: np.ndarray) -> None:
        """Window by window, into the table: with large k it is far larger than a piece."""
        numbers, valid = kmer_codes(codes, self.k)
        places = (numbers if valid.all() else numbers[valid]).astype(np.intp)
        np.add.at(self._counts, places, np.int64(1))

    def _words_at_fours(self, codes: np.ndarray) -> np.ndarray:
        """Numbers of the words of k + 3 letters that begin at every fourth position."""
        size, more = len(codes) // _STRIDE, -(-(self.k - 1) // _STRIDE)
        fours, numbers, next_letters = self._room[:, :size]
        np.multiply(np.ascontiguousarray(codes[: size * _STRIDE]).view("<u4"), _PACK, out=fours)
        fours >>= np.uint32(24)
        words = max(size - more, 0)
        numbers, next_letters, letters = numbers[:words], next_letters[:words], _STRIDE
        numbers[:] = fours[:words]
        for piece in range(1, more + 1):
            taken = min(_STRIDE, self.k + _STRIDE - 1 - letters)
            numbers <<= np.uint32(2 * taken)
            np.right_shift(fours[piece : piece + words], np.uint32(2 * (_STRIDE - taken)), out=next_letters)
            numbers |= next_letters
            letters += taken
        places = self._places[:words]
        places[:] = numbers
        return places

    def _take_apart(self) -> None:
        """Moves the words into the counts of the k-mers they hold."""
        if self._added:
            for before in range(_STRIDE):
                self._counts += self._words.reshape(4**before, 4**self.k, -1).sum(axis=(0, 2), dtype=np.int64)
            self._words[:] = 0
            self._added = 0


def _count_at(codes: np.ndarray, bad: np.ndarray, k: int) -> np.ndarray:
    """Counts of the windows that hold one of some positions."""
    starts = distinct((bad[:, None] - np.arange(k)).ravel())
    starts = starts[(starts >= 0) & (starts <= len(codes) - k)]
    numbers = np.zeros(len(starts), dtype=np.int64)
    for offset in range(k):
        numbers = numbers * 4 + codes[starts + offset]
    return np.bincount(numbers, minlength=4**k)
