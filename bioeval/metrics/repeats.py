"""Exact repeats within a sequence: stretches that occur again, and such whose reverse complement does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.errors import ConfigError
from bioeval.metrics.counting import BLOCK, window_numbers
from bioeval.metrics.long_repeats import longest_repeat
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import Setting
from bioeval.metrics.word_counts import WordCounts

_OF_NUCLEOTIDES, _OF_OTHERS = 12, 5
_TABLE_K = 12  # up to this a table of all windows can be had


def repeat_shares(sequences: SequenceSet, k: int) -> np.ndarray:
    """Share of the windows of k letters that occur again in the same sequence, direct and inverted.

    Args:
        sequences: n of them.
        k: letters a window, 1 to 15 of nucleotides. By chance a window of L letters has a partner with a
            probability of about L / 4^k: 6 in 100,000 for 1 kb and k = 12.

    Returns:
        float64 [n, 2], 0 to 1: windows with an equal one elsewhere in the sequence, and windows whose
        reverse complement is one of the windows of the sequence (0 for other alphabets than nucleotides);
        NaN without a window.

    >>> repeat_shares(SequenceSet.from_strings(["AAACCAAAG", "ACCGGT", "A"]), 3).tolist()
    [[0.2857142857142857, 0.0], [0.0, 1.0], [nan, nan]]
    """
    if not 1 <= k <= 15:
        raise ConfigError(f"k = {k} is out of range, allowed: 1 to 15")
    result = np.zeros((len(sequences), 2))
    for rows, block in sequences.blocks(BLOCK):
        nucleotides = block.letters == NUCLEOTIDES and k <= _TABLE_K
        dense = nucleotides and len(block) == 1 and len(block.codes) * 32 > 4**k
        result[rows] = _shares_of_table(block.row_codes(0), k) if dense else _shares_by_sorting(block, k)
    return result


def _shares_of_table(codes: np.ndarray, k: int) -> np.ndarray:
    """The two shares of one long sequence from the counts of all k-mers."""
    words = WordCounts(k)
    words.add(codes)
    times, hits, total = words.table(), np.zeros(2, dtype=np.int64), 0
    for start in range(0, len(times), BLOCK):
        kinds = start + np.flatnonzero(times[start : start + BLOCK])
        often, mirrored = times[kinds], times[_reverse_complements(kinds, k)]
        hits += often[often > 1].sum(), often[mirrored > 0].sum()
        total += int(often.sum())
    return hits / total if total else np.full(2, np.nan)


def _shares_by_sorting(sequences: SequenceSet, k: int) -> np.ndarray:
    """The same of several sequences."""
    numbers, valid = window_numbers(sequences, k)
    owners = sequences.rows_of_positions()[: len(numbers)][valid]
    cells = sequences.other**k
    keys = owners * cells + numbers[valid].astype(np.int64)
    kinds, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    hits = [times[inverse] > 1, np.zeros(len(keys), dtype=bool)]
    if sequences.letters == NUCLEOTIDES:
        mirrored = kinds // cells * cells + _reverse_complements(kinds % cells, k)
        place = np.minimum(np.searchsorted(kinds, mirrored), len(kinds) - 1)
        hits[1] = (kinds[place] == mirrored)[inverse] if len(kinds) else hits[1]
    total = np.bincount(owners, minlength=len(sequences))
    found = np.stack([np.bincount(owners[h], minlength=len(sequences)) for h in hits], axis=1)
    unknown = np.full(found.shape, np.nan)
    return np.divide(found, total[:, None], out=unknown, where=total[:, None] > 0)


def longest_repeats(sequences: SequenceSet) -> np.ndarray:
    """Letters of the longest piece that occurs twice in a sequence (overlaps count), exact, int64 [n].

    By sorting the suffixes of all sequences at once (`bioeval.metrics.suffixes`): neighbours in the order of
    the suffixes of one sequence share the longest beginnings. Of nucleotides longer than a block by doubling
    the windows that are repeated (`bioeval.metrics.long_repeats`), in a tenth of the memory.

    >>> longest_repeats(SequenceSet.from_strings(["ACGTTACG", "AAAA", "ACGT", ""])).tolist()
    [3, 3, 0, 0]
    """
    blocks = [_longest_of_block(block) for _, block in sequences.blocks(BLOCK)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *blocks])


def _longest_of_block(sequences: SequenceSet) -> np.ndarray:
    from bioeval.metrics.suffixes import common_prefixes, suffix_order

    if sequences.letters == NUCLEOTIDES and len(sequences) == 1 and sequences.lengths[0] > BLOCK:
        found = longest_repeat(sequences.row_codes(0), at_once=BLOCK)
        if found is not None:
            return np.array([found])
    order = suffix_order(sequences.codes, sequences.other)
    order = order[sequences.codes[order] < sequences.other]
    owners = sequences.rows_of_positions()
    order = order[np.argsort(owners[order], kind="stable")]  # suffixes of one sequence, still in order
    result = np.zeros(len(sequences), dtype=np.int64)
    if len(order) > 1:
        shared = common_prefixes(sequences.codes, order[:-1], order[1:], sequences.other)
        same = owners[order[:-1]] == owners[order[1:]]
        np.maximum.at(result, owners[order[:-1]][same], shared[same])
    return result


def _reverse_complements(numbers: np.ndarray, k: int) -> np.ndarray:
    left, result = numbers.copy(), np.zeros_like(numbers)
    for _ in range(k):
        result = result * 4 + (3 - left % 4)
        left //= 4
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Mean share of repeated windows, direct and inverted, and the median of the longest repeats.

    Attributes:
        k: letters of a window, 1 to 15.
    """

    k: int = _OF_NUCLEOTIDES

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 15:
            raise ConfigError(f"k = {self.k} is out of range, allowed: 1 to 15")

    @classmethod
    def of_run(cls, setting: Setting) -> list[Repeats]:
        """Windows of 12 nucleotides or 5 other letters."""
        return [cls(k=_OF_NUCLEOTIDES if setting.letters == NUCLEOTIDES else _OF_OTHERS)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        said = {
            "repeats_direct": ("%", f"Windows of {self.k} that occur again in the sequence"),
            "repeats_inverted": ("%", f"Windows of {self.k} whose reverse complement occurs"),
            "longest_repeat": ("letters", "Longest exact repeat in a sequence, median"),
        }
        return tuple(Measure(name=n, unit=u, title=t, kind="share") for n, (u, t) in said.items())

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return np.column_stack([100 * repeat_shares(sequences, self.k), longest_repeats(sequences)])

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        result = np.full((len(rows), 3), np.nan)
        for at, chosen in enumerate(rows):
            known = first[chosen]
            shares = known[~np.isnan(known[:, 0]), :2]
            if len(shares):
                result[at, :2] = shares.mean(axis=0)
            result[at, 2] = np.median(known[:, 2])
        return result
