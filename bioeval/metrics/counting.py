"""Counts of k-mers: of a whole set at memory speed, of each sequence as a dense or a sparse table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from biodata.chaos_game import OTHER, kmer_codes
from biodata.errors import ConfigError
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_K = 12
_PACKED_K = 6
_STRIDE = 4
_CHUNK = 1 << 21


def kmer_counts(sequences: SequenceSet, k: int, *, both_strands: bool = False) -> np.ndarray:
    """k-mer counts of a whole set, int64 [4^k], in alphabetical order of the k-mers.

    Windows with a letter other than A, C, G, T are skipped; none crosses from one sequence to the next.

    Args:
        sequences: the set; of residues or characters the table has letters^k cells.
        k: 1 to 12.
        both_strands: adds the counts of the reverse complements.

    Raises:
        ConfigError: k out of range.

    >>> kmer_counts(SequenceSet.from_strings(["AAC", "NCA"]), 2)[:6].tolist()
    [1, 1, 0, 0, 1, 0]
    """
    check_k(k, sequences.letters)
    if sequences.letters != NUCLEOTIDES:
        numbers, valid = window_numbers(sequences, k)
        return np.bincount(numbers[valid], minlength=sequences.other**k)
    total = np.zeros(4**k, dtype=np.int64)
    for start in range(0, len(sequences.codes), _CHUNK):  # windows over borders belong to the first
        total += count_codes(sequences.codes[start : start + _CHUNK + k - 1], k)
    return total + total[reverse_complement_order(k)] if both_strands else total


def kmer_table(sequences: SequenceSet, k: int, *, both_strands: bool = False) -> np.ndarray:
    """k-mer counts of each sequence, int32 [n, 4^k]; see `kmer_counts`.

    Args:
        sequences: n of them.
        k: letters of a k-mer, at least 1; the table grows as 4^k.
        both_strands: also count the reverse complement of every k-mer.

    >>> kmer_table(SequenceSet.from_strings(["AAC", "T"]), 1).tolist()
    [[2, 1, 0, 0], [0, 0, 0, 1]]
    """
    cells = sequences.other**k
    table = np.zeros((len(sequences), cells), dtype=np.int32)
    numbers, valid = window_numbers(sequences, k)
    for row, (start, length) in enumerate(zip(sequences.starts.tolist(), sequences.lengths.tolist())):
        piece = slice(start, start + max(length - k + 1, 0))
        table[row] = np.bincount(numbers[piece][valid[piece]], minlength=cells)
    if both_strands:
        table += table[:, reverse_complement_order(k)]
    return table


def kmer_matrix(sequences: SequenceSet, k: int, *, both_strands: bool = False) -> csr_matrix:
    """k-mer counts of each sequence, sparse int64 [n, 4^k]: memory grows with the letters, not with 4^k.

    Args:
        sequences: n of them.
        k: letters of a k-mer, 1 to 12 of nucleotides.
        both_strands: also count the reverse complement of every k-mer.

    >>> kmer_matrix(SequenceSet.from_strings(["AACA", "T"]), 2).toarray()[0].nonzero()[0].tolist()
    [0, 1, 4]
    """
    from scipy.sparse import csr_matrix

    check_k(k, sequences.letters)
    numbers, valid = window_numbers(sequences, k)
    owners = sequences.rows_of_positions()[: len(numbers)][valid]
    found = numbers[valid].astype(np.int64)
    if both_strands:
        owners = np.concatenate([owners, owners])
        found = np.concatenate([found, reverse_complement_order(k)[found]])
    ones = np.ones(len(found), dtype=np.int64)
    matrix = csr_matrix((ones, (owners, found)), shape=(len(sequences), sequences.other**k))
    matrix.sum_duplicates()
    return matrix


def window_numbers(sequences: SequenceSet, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of the window of k letters at every position of a set, and whether it is one.

    Args:
        sequences: of any alphabet.
        k: letters a window.

    Returns:
        `(numbers, valid)` of length positions - k + 1; see `biodata.chaos_game.kmer_codes`.

    >>> from bioeval.metrics.sequence_set import RESIDUES
    >>> numbers, valid = window_numbers(SequenceSet.from_strings(["ACX"], letters=RESIDUES), 2)
    >>> numbers[valid].tolist()
    [1]
    """
    if sequences.letters == NUCLEOTIDES:
        return kmer_codes(sequences.codes, k)
    base, size = sequences.other, max(len(sequences.codes) - k + 1, 0)
    numbers, valid = np.zeros(size, dtype=np.int64), np.ones(size, dtype=bool)
    for offset in range(k):
        letters = sequences.codes[offset : offset + size]
        valid &= letters < base
        numbers = numbers * base + np.minimum(letters, base - 1)
    return numbers, valid


def reverse_complement_order(k: int) -> np.ndarray:
    """For each k-mer number, the number of its reverse complement.

    >>> reverse_complement_order(1).tolist()
    [3, 2, 1, 0]
    """
    numbers, result = np.arange(4**k), np.zeros(4**k, dtype=np.int64)
    for _ in range(k):
        result = result * 4 + (3 - numbers % 4)
        numbers = numbers // 4
    return result


def check_k(k: int, letters: str = NUCLEOTIDES) -> None:
    """Whether windows of k letters can be counted.

    Raises:
        ConfigError: k is below 1 or above 12, or the table of other alphabets is beyond 2^40 cells.
    """
    largest = MAX_K if letters == NUCLEOTIDES else int(40 / np.log2(len(letters)))
    if not 1 <= k <= largest:
        raise ConfigError(f"k = {k} is out of range, allowed: 1 to {largest}")


def count_codes(codes: np.ndarray, k: int) -> np.ndarray:
    """Counts of the windows of one piece of a buffer, int64 [4^k].

    >>> count_codes(np.array([0, 1, 4, 1], dtype=np.uint8), 1).tolist()
    [1, 2, 0, 0]
    """
    return _count_packed(codes, k) if k <= _PACKED_K else _count_windows(codes, k)


def _count_windows(codes: np.ndarray, k: int) -> np.ndarray:
    numbers, valid = kmer_codes(codes, k)
    return np.bincount(numbers if valid.all() else numbers[valid], minlength=4**k)


def _count_packed(codes: np.ndarray, k: int) -> np.ndarray:
    """The same for small k: words of k + 3 letters are counted at every fourth position and then taken apart.

    A word holds the four k-mers that begin in its first four letters, so a quarter of the additions to the
    table is left, and letters are packed four at a time. Windows that hold a letter which is none are
    counted as if it were one and taken off again.
    """
    bad = np.zeros(0, dtype=np.int64)
    packed = codes
    if codes.max(initial=0) >= OTHER:
        bad, packed = np.flatnonzero(codes >= OTHER), codes & 3
    if len(bad) * 8 * k > len(codes):
        return _count_windows(codes, k)
    quads = _pack_fours(packed)
    words = max(len(quads) - -(-(k - 1) // _STRIDE), 0)
    letters, number = _STRIDE, quads[:words].astype(np.uint32)
    for piece in range(1, -(-(k - 1) // _STRIDE) + 1):
        taken = min(_STRIDE, k + _STRIDE - 1 - letters)
        number = (number << np.uint32(2 * taken)) | (
            quads[piece : piece + words] >> np.uint32(2 * (_STRIDE - taken))
        )
        letters += taken
    table = np.bincount(number, minlength=4 ** (k + _STRIDE - 1))
    total = np.zeros(4**k, dtype=np.int64)
    for before in range(_STRIDE):
        total += table.reshape(4**before, 4**k, -1).sum(axis=(0, 2))
    total += _count_windows(packed[_STRIDE * words :], k)
    return total - _count_at(packed, bad, k) if len(bad) else total


def _pack_fours(codes: np.ndarray) -> np.ndarray:
    """Numbers of the words of letters 0 to 3, 4 to 7, and so on, uint32."""
    fours = np.ascontiguousarray(codes[: len(codes) // _STRIDE * _STRIDE]).view("<u4")
    shifted = (fours << np.uint32(6)) | (fours >> np.uint32(4)) | (fours >> np.uint32(14))
    return (shifted | (fours >> np.uint32(24))) & np.uint32(255)


def _count_at(codes: np.ndarray, bad: np.ndarray, k: int) -> np.ndarray:
    """Counts of the windows that hold one of some positions."""
    starts = np.unique((bad[:, None] - np.arange(k)).ravel())
    starts = starts[(starts >= 0) & (starts <= len(codes) - k)]
    numbers = np.zeros(len(starts), dtype=np.int64)
    for offset in range(k):
        numbers = numbers * 4 + codes[starts + offset]
    return np.bincount(numbers, minlength=4**k)
