"""Hashes of all k-mers of a sequence, in numpy: the same on any machine, for either strand of DNA."""

from __future__ import annotations

import numpy as np

from biodata.mmseqs import NUCLEOTIDES

_ODD = 0x9E3779B97F4A7C15
_CODES = np.full(256, 4, np.uint8)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4)


def kmer_hashes(letters: np.ndarray, *, k: int, alphabet: str, seed: int) -> np.ndarray:
    """Hashes of the k-mers in order, uint64; dna: of the smaller of a k-mer and its reverse complement.

    Args:
        letters: uint8 bytes of a normalised sequence, k or more.
        k: 1 or more, for nucleotides at most 32; k-mers with an ambiguous nucleotide are left out.

    >>> a, b = (np.frombuffer(text, np.uint8) for text in (b"ACGTTG", b"CAACGT"))
    >>> np.array_equal(kmer_hashes(a, k=5, alphabet="dna", seed=1),
    ...                kmer_hashes(b, k=5, alphabet="dna", seed=1)[::-1])
    True
    """
    hashes, fine = kmer_hashes_at(letters, k=k, alphabet=alphabet, seed=seed)
    return hashes if fine.all() else hashes[fine]


def kmer_hashes_at(letters: np.ndarray, *, k: int, alphabet: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `kmer_hashes`, but a hash for every place, and whether the k-mer there counts.

    Args:
        letters: uint8 [n], upper-case ASCII.
        k: letters of a k-mer, at least 1; at most 31 for nucleotides.
        alphabet: dna (a k-mer and its reverse complement count as one), rna or protein.
        seed: equal seeds give equal hashes.
    """
    if alphabet not in NUCLEOTIDES:
        hashes = _mixed(_rolled(letters.astype(np.uint64), k, _ODD), seed)
        return hashes, np.ones(len(hashes), bool)
    codes = _CODES[letters]
    bad = codes > 3
    words = codes.astype(np.uint64)
    kmers = _rolled(words, k, 4)
    if alphabet == "dna":
        kmers = np.minimum(kmers, _rolled(np.uint64(3) - words[::-1], k, 4)[::-1])
    fine = np.ones(len(kmers), bool)
    if bad.any():
        count = np.concatenate([[0], np.cumsum(bad)])
        fine = count[k:] == count[:-k]
    return _mixed(kmers, seed), fine


def _rolled(words: np.ndarray, k: int, base: int) -> np.ndarray:
    """Each stretch of k words as digits of a number to the base, modulo 2^64, by doubling."""
    block, length = words, 1
    result, size = words[:0], 0
    while True:
        if k & length:
            result = _joined(block, length, result, size, base) if size else block
            size += length
        if size == k:
            return result
        block = _joined(block, length, block, length, base)
        length *= 2


def _joined(left: np.ndarray, left_size: int, right: np.ndarray, size: int, base: int) -> np.ndarray:
    """The number of `left_size + size` digits at every place, from those of its two parts."""
    right = right[left_size:]
    return left[: len(right)] * np.uint64(pow(base, size, 1 << 64)) + right


def _mixed(words: np.ndarray, seed: int) -> np.ndarray:
    """splitmix64 (Steele et al. 2014, doi:10.1145/2660193.2660195), a bijection of 64-bit words."""
    words = words + np.uint64(seed * _ODD % (1 << 64))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    return words ^ (words >> np.uint64(31))
