"""Codon usage: frequencies, relative synonymous codon usage, divergences between sets of coding sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import kmer_codes
from biodata.codon import CODONS, genetic_code
from biodata.errors import ConfigError
from bioeval.metrics.kmer import js_divergence, smoothed, subset_totals
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting


def codon_table(sequences: SequenceSet) -> np.ndarray:
    """Codon counts of each sequence read from its first letter, int32 [n, 64], in order of `CODONS`.

    Codons with a letter other than A, C, G, T are skipped, letters after the last whole codon ignored.

    >>> table = codon_table(SequenceSet.from_strings(["ATGATGTAAC"]))
    >>> {c: int(n) for c, n in zip(CODONS, table[0]) if n}
    {'ATG': 2, 'TAA': 1}
    """
    numbers, owners = _codons(sequences)
    cells = np.bincount(owners * 64 + numbers, minlength=64 * len(sequences))
    return cells.reshape(len(sequences), 64).astype(np.int32)


def rscu(counts: np.ndarray, *, table: int = 1) -> np.ndarray:
    """Relative synonymous codon usage: count over the mean count of the codons of the same amino acid.

    Args:
        counts: [64] in order of `CODONS`.
        table: NCBI translation table.

    Returns:
        float64 [64], 0 to the number of synonyms; NaN for an amino acid (or stop) that does not occur.

    Source: Sharp, Tuohy and Mosurski 1986 (doi:10.1093/nar/14.13.5125).

    >>> counts = np.zeros(64); counts[CODONS.index("TTT")], counts[CODONS.index("TTC")] = 3, 1
    >>> [float(rscu(counts)[CODONS.index(c)]) for c in ("TTT", "TTC")]
    [1.5, 0.5]
    """
    groups = synonymous_groups(table)
    result = np.full(64, np.nan)
    for members in groups.values():
        mean = counts[members].mean()
        if mean > 0:
            result[members] = counts[members] / mean
    return result


def synonymous_groups(table: int = 1) -> Mapping[str, np.ndarray]:
    """Amino acid (`*` for stop) to the indices of its codons in `CODONS`.

    >>> [CODONS[i] for i in synonymous_groups(1)["F"]]
    ['TTC', 'TTT']
    """
    code = genetic_code(table)
    residues = np.array([code[c] for c in CODONS])
    return {residue: np.flatnonzero(residues == residue) for residue in sorted(set(residues.tolist()))}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodonUsage:
    """JSD of codon frequencies, and of the choice among synonyms alone, in bits.

    The second is the sum over amino acids of the JSD of their codons, each weighted by the smaller of its
    frequencies in the two sets, so it does not see which proteins are encoded.

    Attributes:
        table: NCBI translation table.
        alpha: pseudo-count a codon, above 0.
    """

    table: int = 1
    alpha: float = 0.5

    def __post_init__(self) -> None:
        genetic_code(self.table)
        if not 0 < self.alpha < np.inf:
            raise ConfigError(f"alpha = {self.alpha} is out of range, allowed: above 0")

    @classmethod
    def of_run(cls, setting: Setting) -> list[CodonUsage]:
        """Of coding sequences."""
        setting.need_coding()
        return [cls(table=setting.table, alpha=setting.alpha)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(name="codon_usage_jsd", unit="bits", title="Codon usage, Jensen-Shannon divergence"),
            Measure(name="synonymous_jsd", unit="bits", title="Choice among synonymous codons, JSD"),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return codon_table(sequences)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        p, q = subset_totals(first, rows), subset_totals(second, others)
        synonymous = np.zeros(len(p))
        for members in synonymous_groups(self.table).values():
            weight = np.minimum(_share(p, members, self.alpha), _share(q, members, self.alpha))
            synonymous += weight * js_divergence(p[:, members], q[:, members], alpha=self.alpha)
        return np.stack([js_divergence(p, q, alpha=self.alpha), synonymous], axis=-1)


def _share(counts: np.ndarray, members: np.ndarray, alpha: float) -> np.ndarray:
    return smoothed(counts, alpha)[:, members].sum(axis=-1)


def _codons(sequences: SequenceSet) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of all codons of a set and the sequence of each."""
    numbers, valid = kmer_codes(sequences.codes, 3)
    owners = sequences.rows_of_positions()[: len(numbers)]
    in_frame = (np.arange(len(numbers)) - sequences.starts[owners]) % 3 == 0
    keep = valid & in_frame
    return numbers[keep].astype(np.int64), owners[keep]
