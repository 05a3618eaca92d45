"""Counts of k-mers: of a whole set, of each sequence as a dense or a sparse table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from biodata.chaos_game import kmer_codes
from biodata.errors import ConfigError
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.word_counts import WordCounts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_K = 12
BLOCK = 1 << 20
"""Letters at a time, where memory must not grow with the set."""


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
    words = WordCounts(k)
    words.add(sequences.codes)
    total = words.counts()
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
    for rows, block, _ in sequences.pieces(BLOCK, overlap=k - 1):
        numbers, valid = window_numbers(block, k)
        for row, start, length in zip(range(rows.start, rows.stop), block.starts, block.lengths):
            piece = slice(start, start + max(length - k + 1, 0))
            table[row] += np.bincount(numbers[piece][valid[piece]], minlength=cells).astype(np.int32)
    if both_strands:
        table += table[:, reverse_complement_order(k)]
    return table


def letter_table(sequences: SequenceSet) -> np.ndarray:
    """How often each sequence has each letter, int64 [n, letters].

    >>> letter_table(SequenceSet.from_strings(["AACN", "T"])).tolist()
    [[2, 1, 0, 0], [0, 0, 0, 1]]
    """
    kinds = sequences.other + 1
    table = np.zeros((len(sequences), kinds), dtype=np.int64)
    for rows, block, _ in sequences.pieces(BLOCK):
        cells = block.rows_of_positions() * kinds + block.codes
        table[rows] += np.bincount(cells, minlength=kinds * len(block)).reshape(-1, kinds)
    return table[:, :-1]


def kmer_matrix(sequences: SequenceSet, k: int, *, both_strands: bool = False) -> csr_matrix:
    """k-mer counts of each sequence, sparse int64 [n, 4^k]: memory grows with the kinds of k-mers that there
    are, neither with 4^k nor with the letters.

    Args:
        sequences: n of them.
        k: letters of a k-mer, 1 to 12 of nucleotides.
        both_strands: also count the reverse complement of every k-mer.

    >>> kmer_matrix(SequenceSet.from_strings(["AACA", "T"]), 2).toarray()[0].nonzero()[0].tolist()
    [0, 1, 4]
    """
    from scipy.sparse import csr_matrix, vstack

    check_k(k, sequences.letters)
    parts, done = [csr_matrix((0, sequences.other**k), dtype=np.int64)], 0
    for rows, block, _ in sequences.pieces(BLOCK, overlap=k - 1):
        found = _matrix_of(block, k, both_strands=both_strands)
        if rows.start < done:  # one more piece of the same sequence
            parts[-1] = parts[-1] + found
        else:
            parts.append(found)
        done = rows.stop
    return csr_matrix(vstack(parts))


def _matrix_of(sequences: SequenceSet, k: int, *, both_strands: bool) -> csr_matrix:
    from scipy.sparse import csr_matrix

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
