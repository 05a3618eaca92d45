"""k-mer counts, and the Kullback-Leibler and Jensen-Shannon divergences of k-mer distributions, in bits.

Two finite samples of one source never have divergence 0: for n1 and n2 windows of independent letters
E[KL] is about (4^k - 1) / (2 ln 2) (1/n1 + 1/n2) bits and E[JSD] a quarter of that, once n is well above 4^k
(second-order expansion of both around p = q). So a value means something only beside its split-half null, and
only with 4^k <= n / 50; beyond that the metric is given with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import kmer_codes
from biodata.errors import ConfigError
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet

MAX_K = 12
WINDOWS_PER_KMER = 50
_BLOCK_BYTES = 1 << 26


def kmer_counts(sequences: SequenceSet, k: int, *, both_strands: bool = False) -> np.ndarray:
    """k-mer counts of a whole set, int64 [4^k], in alphabetical order of the k-mers.

    Windows with a letter other than A, C, G, T are skipped; none crosses from one sequence to the next.

    Args:
        sequences: the set.
        k: 1 to 12.
        both_strands: adds the counts of the reverse complements.

    Raises:
        ConfigError: k out of range.

    >>> kmer_counts(SequenceSet.from_strings(["AAC", "NCA"]), 2)[:6].tolist()
    [1, 1, 0, 0, 1, 0]
    """
    _check_k(k, MAX_K)
    total = np.zeros(4**k, dtype=np.int64)
    step = 1 << 16  # 64 kb pieces stay in the cache; windows over their borders belong to the first
    for start in range(0, len(sequences.codes), step):
        numbers, valid = kmer_codes(sequences.codes[start : start + step + k - 1], k)
        total += np.bincount(numbers if valid.all() else numbers[valid], minlength=4**k)
    return total + total[_reverse_complement_order(k)] if both_strands else total


def kmer_table(sequences: SequenceSet, k: int, *, both_strands: bool = False) -> np.ndarray:
    """k-mer counts of each sequence, int32 [n, 4^k]; see `kmer_counts`.

    Args:
        sequences: n of them.
        k: letters of a k-mer, at least 1; the table grows as 4^k.
        both_strands: also count the reverse complement of every k-mer.

    >>> kmer_table(SequenceSet.from_strings(["AAC", "T"]), 1).tolist()
    [[2, 1, 0, 0], [0, 0, 0, 1]]
    """
    table = np.zeros((len(sequences), 4**k), dtype=np.int32)
    for row in range(len(sequences)):
        numbers, valid = kmer_codes(sequences.row_codes(row), k)
        table[row] = np.bincount(numbers[valid], minlength=4**k)
    if both_strands:
        table += table[:, _reverse_complement_order(k)]
    return table


def smoothed(counts: np.ndarray, alpha: float) -> np.ndarray:
    """p = (count + alpha) / (N + alpha m) along the last axis of m cells.

    >>> smoothed(np.array([3, 1]), 0.5).tolist()
    [0.7, 0.3]
    """
    counts = counts.astype(np.float64)
    return (counts + alpha) / (counts.sum(axis=-1, keepdims=True) + alpha * counts.shape[-1])


def kl_divergence(first: np.ndarray, second: np.ndarray, *, alpha: float = 0.5) -> np.ndarray:
    """Kullback-Leibler divergence KL(first || second) of smoothed counts, in bits, 0 or more.

    Args:
        first: counts [..., m].
        second: counts [..., m].
        alpha: pseudo-count a cell, above 0; 0.5 is the Krichevsky-Trofimov choice.

    Source: Kullback and Leibler 1951 (doi:10.1214/aoms/1177729694).

    >>> bool(kl_divergence(np.array([100, 0, 0, 0]), np.array([0, 100, 0, 0])) > 1)
    True
    """
    p, q = smoothed(first, alpha), smoothed(second, alpha)
    return np.maximum((p * np.log2(p / q)).sum(axis=-1), 0.0)


def js_divergence(first: np.ndarray, second: np.ndarray, *, alpha: float = 0.5) -> np.ndarray:
    """Jensen-Shannon divergence of smoothed counts, in bits, 0 to 1 (not its square root, not nats).

    Args:
        first: counts, k-mers along the last axis.
        second: counts of the same shape.
        alpha: added to every count, above 0.

    Source: Lin 1991 (doi:10.1109/18.61115).

    >>> float(js_divergence(np.array([5, 5]), np.array([5, 5])))
    0.0
    """
    p, q = smoothed(first, alpha), smoothed(second, alpha)
    middle = (p + q) / 2
    halves = (p * np.log2(p / middle)).sum(axis=-1) + (q * np.log2(q / middle)).sum(axis=-1)
    return np.clip(halves / 2, 0.0, 1.0)


def expected_kl(k: int, first: int, second: int) -> float:
    """Bits of KL that two samples of one source of independent letters show on average.

    Args:
        k: letters a window.
        first: windows of the one sample.
        second: windows of the other.

    >>> round(expected_kl(6, 100_000, 100_000), 4)
    0.0591
    """
    return float((4**k - 1) / (2 * np.log(2)) * (1 / first + 1 / second))


@dataclass(frozen=True, slots=True, kw_only=True)
class KmerDivergence:
    """KL(generated || reference) and JSD of k-mer distributions, in bits.

    Attributes:
        k: letters a window, 1 to 12.
        alpha: pseudo-count a k-mer, above 0.
        both_strands: counts each sequence and its reverse complement (for genomic pieces of unknown strand).
    """

    k: int = 3
    alpha: float = 0.5
    both_strands: bool = False

    def __post_init__(self) -> None:
        _check_k(self.k, MAX_K)
        if not self.alpha > 0:
            raise ConfigError(f"alpha = {self.alpha} is out of range, allowed: above 0")

    @property
    def measures(self) -> tuple[Measure, ...]:
        k = self.k
        return (
            Measure(
                name=f"kmer_jsd_k{k}",
                unit="bits",
                title=f"{k}-mer Jensen-Shannon divergence",
                kept_by_shuffling=k == 1,
            ),
            Measure(
                name=f"kmer_kl_k{k}",
                unit="bits",
                title=f"{k}-mer KL(generated || reference)",
                kept_by_shuffling=k == 1,
            ),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return kmer_table(sequences, self.k, both_strands=self.both_strands)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        p, q = subset_totals(first, rows), subset_totals(second, others)
        columns = [js_divergence(p, q, alpha=self.alpha), kl_divergence(p, q, alpha=self.alpha)]
        return np.stack(columns, axis=-1)


def subset_totals(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Column sums of subsets of the rows of a table, float64 [B, m], exact below 2^53.

    Args:
        table: counts [n, m].
        rows: bool [B, n].

    >>> subset_totals(np.array([[1, 2], [3, 4]]), np.array([[True, True], [False, True]])).tolist()
    [[4.0, 6.0], [3.0, 4.0]]
    """
    total = np.zeros((len(rows), table.shape[1]))
    step = max(_BLOCK_BYTES // (8 * table.shape[1]), 1)
    for start in range(0, len(table), step):
        total += rows[:, start : start + step].astype(np.float64) @ table[start : start + step]
    return total


def _check_k(k: int, largest: int) -> None:
    if not 1 <= k <= largest:
        raise ConfigError(f"k = {k} is out of range, allowed: 1 to {largest}")


def _reverse_complement_order(k: int) -> np.ndarray:
    """For each k-mer number, the number of its reverse complement."""
    numbers, result = np.arange(4**k), np.zeros(4**k, dtype=np.int64)
    for _ in range(k):
        result = result * 4 + (3 - numbers % 4)
        numbers = numbers // 4
    return result
