"""Entropies: how much a letter tells that those before it did not, and how varied short stretches are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioeval.metrics.counting import kmer_table
from bioeval.metrics.kmer import subset_totals
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import Setting

WINDOW = 100
"""Letters of a stretch whose linguistic complexity is taken; a fixed number, so that lengths do not
matter."""

_SHORTEST = 20
_COMPLEXITY_K = 6
_BLOCK = 1 << 12  # stretches at a time


def shannon_entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy of counts along the last axis, in bits, 0 to log2 of the cells (no correction for few counts).

    Source: Shannon 1948 (doi:10.1002/j.1538-7305.1948.tb01338.x).

    >>> shannon_entropy(np.array([[1, 1, 1, 1], [8, 0, 0, 0]])).tolist()
    [2.0, 0.0]
    """
    counts = counts.astype(np.float64)
    p = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1) + 0.0


def linguistic_complexity(sequences: SequenceSet) -> np.ndarray:
    """Kinds of k-mers in stretches of 100 letters over the most there could be, k 1 to 6, mean of each
    sequence.

    Source: Trifonov 1990 and Troyanskaya et al. 2002 (doi:10.1093/bioinformatics/18.5.679), the sum over k of
    kinds divided by the sum of the largest possible numbers. A last stretch below 20 letters is left out
    (unless it is the whole sequence).

    Returns:
        float64 [n], above 0, at most 1; NaN without a letter.

    >>> linguistic_complexity(SequenceSet.from_strings(["A" * 50, "ACGTTGCATCAGG", ""])).round(3).tolist()
    [0.029, 0.981, nan]
    """
    starts, owners, letters = _stretches(sequences)
    share = np.zeros(len(starts))
    for begin in range(0, len(starts), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        # what lies beyond a stretch, and beyond the last letter, is not looked at
        places = np.minimum(starts[part, None] + np.arange(WINDOW), len(sequences.codes) - 1)
        share[part] = _kinds_over_most(sequences.codes[places], letters[part], sequences.other)
    totals = np.bincount(owners, weights=share, minlength=len(sequences))
    numbers = np.bincount(owners, minlength=len(sequences))
    return np.divide(totals, numbers, out=np.full(len(sequences), np.nan), where=numbers > 0)


def _stretches(sequences: SequenceSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each stretch begins, the sequence it is of, and its letters (100, at the end maybe fewer)."""
    lengths = sequences.lengths
    number = np.maximum(-(-(lengths - _SHORTEST + 1) // WINDOW), np.minimum(lengths, 1))
    owners = np.repeat(np.arange(len(sequences)), number)
    offsets = WINDOW * (np.arange(len(owners)) - np.repeat(np.cumsum(number) - number, number))
    return sequences.starts[owners] + offsets, owners, np.minimum(lengths[owners] - offsets, WINDOW)


def _kinds_over_most(codes: np.ndarray, letters: np.ndarray, other: int) -> np.ndarray:
    """Of each row its kinds of k-mers, all k together, over the most that so many letters can have.

    Rows are sorted, since a set of all (row, k-mer) would grow with the genome and is slower.
    """
    codes[np.arange(codes.shape[1]) >= letters[:, None]] = other
    width = np.uint16 if other == len(NUCLEOTIDES) else np.uint32
    none = np.iinfo(width).max
    kinds, most = np.zeros(len(codes)), np.zeros(len(codes))
    number, valid = np.zeros((len(codes), codes.shape[1] + 1), dtype=width), np.ones(1, dtype=bool)
    for k in range(1, _COMPLEXITY_K + 1 if other == len(NUCLEOTIDES) else 4):
        last = codes[:, k - 1 :]
        number = number[:, :-1] * width(other) + np.minimum(last, other - 1)
        valid = (valid[:, :-1] if k > 1 else valid) & (last < other)
        words = np.sort(np.where(valid, number, width(none)), axis=1)
        kinds += 1 + np.count_nonzero(words[:, 1:] != words[:, :-1], axis=1) - (words[:, -1] == none)
        most += np.minimum(np.maximum(letters - k + 1, 0), other**k)
    return kinds / np.maximum(most, 1)


@dataclass(frozen=True, slots=True)
class EntropyFeatures:
    """k-mer tables of all k and the complexity of each sequence."""

    tables: tuple[np.ndarray, ...]
    complexity: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropy:
    """Shannon entropy of k-mers, entropy of a letter given those before it, and linguistic complexity.

    `entropy_kK` is the block entropy H_K in bits a k-mer (2 K at most for nucleotides), `entropy_rate`
    H_k - H_(k-1) of the largest k, both of the same windows, so at least 0: bits that a letter adds to the
    k - 1 before it (block entropies: Herzel, Ebeling and Schmitt 1994, doi:10.1103/PhysRevE.50.5061); not
    defined without such a window. All shares of the generated set.

    Attributes:
        largest: the largest k; few letters make high k look ordered, in the null as well.
    """

    largest: int = 4

    @classmethod
    def of_run(cls, setting: Setting) -> list[Entropy]:
        """k to 4 of nucleotides, to 2 of other alphabets."""
        return [cls(largest=4 if setting.letters == NUCLEOTIDES else 2)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        blocks = tuple(
            Measure(name=f"entropy_k{k}", unit="bits", title=f"Entropy of {k}-mers", kind="share",
                    kept_by_shuffling=k == 1)
            for k in range(1, self.largest + 1)
        )  # fmt: skip
        rate = f"Entropy of a letter given the {self.largest - 1} before it"
        return (
            *blocks,
            Measure(name="entropy_rate", unit="bits", title=rate, kind="share"),
            Measure(name="linguistic_complexity", unit="fraction", kind="share",
                    title=f"Kinds of k-mers in {WINDOW} letters over the most possible"),
        )  # fmt: skip

    def features(self, sequences: SequenceSet) -> EntropyFeatures:
        tables = tuple(kmer_table(sequences, k) for k in range(1, self.largest + 1))
        return EntropyFeatures(tables, linguistic_complexity(sequences))

    def compare(
        self, first: EntropyFeatures, second: EntropyFeatures, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        totals = [subset_totals(table, rows) for table in first.tables]
        blocks = [shannon_entropy(counts) for counts in totals]
        letters = first.tables[0].shape[1]
        # Of the same windows: the ends of short sequences have words of k - 1 letters and none of k.
        before = totals[-1].reshape(len(rows), -1, letters).sum(axis=-1)
        rate = np.where(before.any(axis=-1), blocks[-1] - shannon_entropy(before), np.nan)
        known = rows & ~np.isnan(first.complexity)
        with np.errstate(invalid="ignore"):
            complexity = (known @ np.nan_to_num(first.complexity)) / known.sum(axis=1)
        return np.stack([*blocks, rate, complexity], axis=-1)
