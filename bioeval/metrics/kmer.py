"""k-mer counts, and the Kullback-Leibler and Jensen-Shannon divergences of k-mer distributions, in bits.

Two finite samples of one source never have divergence 0: for n1 and n2 windows of independent letters
E[KL] is about (4^k - 1) / (2 ln 2) (1/n1 + 1/n2) bits and E[JSD] a quarter of that, once n is well above 4^k
(second-order expansion of both around p = q). So a value means something only beside its split-half null, and
only with 4^k <= n / 50; beyond that the metric is given with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from biodata.chaos_game import kmer_codes
from biodata.errors import ConfigError
from bioeval.metrics.counting import MAX_K, check_k, kmer_counts, kmer_matrix, kmer_table
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "MAX_K", "KmerDivergence", "expected_kl", "js_divergence", "kl_divergence", "kmer_codes", "kmer_counts",
    "kmer_table", "smoothed", "subset_totals",
]  # fmt: skip

WINDOWS_PER_KMER = 50
_BLOCK_BYTES = 1 << 26
_DENSE_CELLS = 1 << 12


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

    Up to 4,096 k-mers are counted in a dense table, more in a sparse one; both give the same numbers, for
    k-mers that neither set has enter with their pseudo-counts.

    Attributes:
        k: letters a window, 1 to 12 (of residues to 8, of SMILES characters to 6).
        alpha: pseudo-count a k-mer, above 0.
        both_strands: counts each sequence and its reverse complement (for genomic pieces of unknown strand).
        letters: the alphabet of the sequences.
    """

    k: int = 3
    alpha: float = 0.5
    both_strands: bool = False
    letters: str = NUCLEOTIDES

    def __post_init__(self) -> None:
        check_k(self.k, self.letters)
        if not 0 < self.alpha < np.inf:
            raise ConfigError(f"alpha = {self.alpha} is out of range, allowed: above 0")

    @classmethod
    def of_run(cls, setting: Setting) -> list[KmerDivergence]:
        """One for each k asked for; of residues and characters at most 3."""
        letters, both = setting.letters, setting.both_strands
        largest = MAX_K if letters == NUCLEOTIDES else 3
        found: list[KmerDivergence] = [
            cls(k=k, alpha=setting.alpha, both_strands=both and letters == NUCLEOTIDES, letters=letters)
            for k in dict.fromkeys(setting.kmers)
            if k <= largest
        ]
        if not found:
            raise NotApplicableError(f"words of proteins and SMILES have at most {largest} letters (--kmers)")
        return found

    @property
    def measures(self) -> tuple[Measure, ...]:
        k, kept = self.k, self.k == 1
        jsd, kl = f"{k}-mer Jensen-Shannon divergence", f"{k}-mer KL(generated || reference)"
        return (
            Measure(name=f"kmer_jsd_k{k}", unit="bits", title=jsd, kept_by_shuffling=kept),
            Measure(name=f"kmer_kl_k{k}", unit="bits", title=kl, kept_by_shuffling=kept),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray | csr_matrix:
        if sequences.other**self.k <= _DENSE_CELLS:
            return kmer_table(sequences, self.k, both_strands=self.both_strands)
        return kmer_matrix(sequences, self.k, both_strands=self.both_strands)

    def compare(
        self,
        first: np.ndarray | csr_matrix,
        second: np.ndarray | csr_matrix,
        *,
        rows: np.ndarray,
        others: np.ndarray,
    ) -> np.ndarray:
        if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            p, q = subset_totals(first, rows), subset_totals(second, others)
            columns = [js_divergence(p, q, alpha=self.alpha), kl_divergence(p, q, alpha=self.alpha)]
            return np.stack(columns, axis=-1)
        if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
            raise AssertionError("a dense and a sparse table: features of two different k")
        cells = len(self.letters) ** self.k
        pairs = _sparse_totals(first, second, rows, others)
        return np.concatenate([_sparse_divergences(p, q, cells, self.alpha) for p, q in pairs])


def _sparse_totals(
    first: csr_matrix, second: csr_matrix, rows: np.ndarray, others: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Totals of subsets over the columns that either table has, some subsets at a time."""
    columns = np.union1d(first.indices, second.indices)
    one, two = _of_columns(first, columns), _of_columns(second, columns)
    step = max(_BLOCK_BYTES // (16 * max(len(columns), 1)), 1)
    for start in range(0, len(rows), step):
        chosen = slice(start, start + step)
        yield rows[chosen].astype(np.float64) @ one, others[chosen].astype(np.float64) @ two


def _of_columns(table: csr_matrix, columns: np.ndarray) -> csr_matrix:
    from scipy.sparse import csr_matrix

    places = np.searchsorted(columns, table.indices)
    shape = (len(table.indptr) - 1, len(columns))
    return csr_matrix((table.data.astype(np.float64), places, table.indptr), shape)


def _sparse_divergences(p: np.ndarray, q: np.ndarray, cells: int, alpha: float) -> np.ndarray:
    """JSD and KL of counts [B, m] of the only cells of `cells` that are not 0 in both, float64 [B, 2]."""
    of = [counts.sum(axis=-1, keepdims=True) + alpha * cells for counts in (p, q)]
    rest = cells - p.shape[1]
    kinds = (((p + alpha) / of[0], (q + alpha) / of[1], 1), (alpha / of[0], alpha / of[1], rest))
    result = np.zeros((len(p), 2))
    for first, second, times in kinds:
        middle = (first + second) / 2
        jsd = (first * np.log2(first / middle) + second * np.log2(second / middle)).sum(axis=-1) / 2
        result += times * np.stack([jsd, (first * np.log2(first / second)).sum(axis=-1)], axis=-1)
    return np.stack([np.clip(result[:, 0], 0, 1), np.maximum(result[:, 1], 0)], axis=-1)


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
