"""Whether coding sequences are open reading frames from their first letter to their last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import kmer_codes
from biodata.codon import CODONS, genetic_code, start_codons
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

CHECKS = ("valid", "start", "stop", "no_inner_stop", "whole_codons")


def orf_checks(sequences: SequenceSet, *, table: int = 1) -> np.ndarray:
    """Checks of each sequence, bool [n, 5], in the order of `CHECKS`.

    `start`: the first codon is a start codon of the table (table 1 has ATG, CTG, TTG); `stop`: the last whole
    codon is a stop; `no_inner_stop`: no whole codon before that one is; `whole_codons`: the length is a
    positive multiple of 3; `valid`: all four. A codon with another letter than A, C, G, T is neither.

    >>> orf_checks(SequenceSet.from_strings(["ATGAAATAA", "ATGTAAC"])).tolist()
    [[True, True, True, True, True], [False, True, True, True, False]]
    """
    code = genetic_code(table)
    is_stop = np.array([code[c] == "*" for c in CODONS])
    is_start = np.array([c in start_codons(table) for c in CODONS])
    codons = sequences.lengths // 3
    last = np.maximum(codons - 1, 0) * 3
    inner = _inner_stops(sequences, is_stop, last)
    start = _at(sequences, np.zeros_like(last), is_start)
    stop = _at(sequences, last, is_stop)
    whole = (sequences.lengths % 3 == 0) & (codons > 0)
    clean = inner == 0
    return np.stack([start & stop & clean & whole, start, stop, clean, whole], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrfValidity:
    """Percent of the generated sequences that are valid open reading frames, and of each check.

    Attributes:
        table: NCBI translation table.
    """

    table: int = 1

    def __post_init__(self) -> None:
        genetic_code(self.table)

    @classmethod
    def of_run(cls, setting: Setting) -> list[OrfValidity]:
        """Of coding sequences."""
        setting.need_coding()
        return [cls(table=setting.table)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        titles = (
            "Valid open reading frames (all four below)", "First codon is a start codon",
            "Last codon is a stop codon", "No stop codon before the last", "Length divisible by three",
        )  # fmt: skip
        return tuple(
            Measure(
                name=f"orf_{check}",
                unit="%",
                title=title,
                kind="share",
                kept_by_shuffling=check == "whole_codons",
            )
            for check, title in zip(CHECKS, titles)
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return 100.0 * orf_checks(sequences, table=self.table)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        return (rows.astype(np.float64) @ first) / rows.sum(axis=1, keepdims=True)


def _at(sequences: SequenceSet, offsets: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Whether the codon at an offset of each sequence is one of the wanted."""
    numbers, valid = kmer_codes(sequences.codes, 3)
    result = np.zeros(len(sequences), dtype=bool)
    rows = np.flatnonzero(sequences.lengths >= 3)
    positions = sequences.starts[rows] + offsets[rows]
    result[rows] = valid[positions] & wanted[numbers[positions]]
    return result


def _inner_stops(sequences: SequenceSet, is_stop: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Number of stop codons in frame before the last whole codon."""
    numbers, valid = kmer_codes(sequences.codes, 3)
    owners = sequences.rows_of_positions()[: len(numbers)]
    offsets = np.arange(len(numbers)) - sequences.starts[owners]
    found = valid & is_stop[numbers] & (offsets % 3 == 0) & (offsets < last[owners])
    return np.bincount(owners[found], minlength=len(sequences))
