"""Codon adaptation index: whether genes use the codons that a set of reference genes prefers.

Source: Sharp and Li 1987 (doi:10.1093/nar/15.3.1281). w of a codon is its count over that of the commonest
codon of its amino acid in the reference genes; a codon that is missing there counts as 0.5; the index of a
gene is the geometric mean of w over its codons, those of amino acids with one codon (Met, Trp) and stops
left out. The authors take highly expressed genes as reference; here it is the natural set that is given, so
1 is not "highly expressed" but "always the commonest natural codon".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.codon import genetic_code
from bioeval.metrics.codon_usage import codon_table, synonymous_groups
from bioeval.metrics.kmer import subset_totals
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

_MISSING = 0.5


def relative_adaptiveness(counts: np.ndarray, *, table: int = 1) -> np.ndarray:
    """w of each codon, float64 [..., 64], above 0 to 1; NaN for stops and amino acids with one codon.

    Args:
        counts: codon counts of the reference genes [..., 64], in order of `biodata.codon.CODONS`.
        table: NCBI translation table.

    >>> from biodata.codon import CODONS
    >>> counts = np.zeros(64); counts[CODONS.index("TTT")] = 4
    >>> w = relative_adaptiveness(counts)
    >>> float(w[CODONS.index("TTT")]), float(w[CODONS.index("TTC")]), bool(np.isnan(w[CODONS.index("ATG")]))
    (1.0, 0.125, True)
    """
    counts = np.where(counts > 0, counts, _MISSING).astype(np.float64)
    result = np.full(counts.shape, np.nan)
    for residue, members in synonymous_groups(table).items():
        if residue != "*" and len(members) > 1:
            result[..., members] = counts[..., members] / counts[..., members].max(axis=-1, keepdims=True)
    return result


def adaptation_index(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """CAI of each gene, 0 to 1, NaN of a gene without a codon that counts.

    Args:
        counts: codon counts of the genes [n, 64].
        weights: w [..., 64] of one or several references.

    Returns:
        float64 [..., n].
    """
    used = ~np.isnan(weights).reshape(-1, 64)[0]
    logs = np.log(weights[..., used]) @ counts[:, used].T.astype(np.float64)
    total = counts[:, used].sum(axis=1)
    return np.exp(np.divide(logs, total, out=np.full(logs.shape, np.nan), where=total > 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationIndex:
    """Mean codon adaptation index of the generated genes; the null is that of natural genes left out.

    Attributes:
        table: NCBI translation table.
    """

    table: int = 1

    def __post_init__(self) -> None:
        genetic_code(self.table)

    @classmethod
    def of_run(cls, setting: Setting) -> list[AdaptationIndex]:
        """Of coding sequences."""
        setting.need_coding()
        return [cls(table=setting.table)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        title = "Codon adaptation index to the natural set, mean"
        return (Measure(name="cai_mean", unit="fraction", title=title, kind="share"),)

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return codon_table(sequences)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        weights = relative_adaptiveness(subset_totals(second, others), table=self.table)
        index = adaptation_index(first, weights)
        known = rows & ~np.isnan(index)
        with np.errstate(invalid="ignore"):
            return ((np.nan_to_num(index) * known).sum(axis=1) / known.sum(axis=1))[:, None]
