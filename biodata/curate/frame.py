"""What the codons of a column of coding sequences say: starts, stops, ambiguity. Columnar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.codon import CODONS, genetic_code, start_codons

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_AMBIGUOUS = 64  # the number of a codon with any letter but A, C, G, T, U
_NUCLEOTIDE = np.full(256, 4, np.uint8)
for _codes in (b"ACGT", b"acgt", b"ACGU", b"acgu"):
    _NUCLEOTIDE[list(_codes)] = range(4)


@dataclass(frozen=True, slots=True)
class CodonFacts:
    """One entry per row; one or two letters after the last whole codon are ignored.

    Attributes:
        codons: number of whole codons.
        starts: whether the first codon is a start codon of the row's table.
        stops: whether the last whole codon is a stop.
        inner_stops: number of stops before the last whole codon.
        ambiguous: number of codons with a letter other than A, C, G, T, U.
    """

    codons: Int64s
    starts: Bools
    stops: Bools
    inner_stops: Int64s
    ambiguous: Int64s


def codon_facts(sequences: pa.Array, *, tables: npt.NDArray[np.integer]) -> CodonFacts:
    """Facts about every row of a column of nucleotides.

    Args:
        sequences: large_string, DNA or RNA.
        tables: NCBI translation table of each row.

    >>> column = pa.array(["ATGTAA", "CCCTAGNNN", "AT"], pa.large_string())
    >>> facts = codon_facts(column, tables=np.array([1, 1, 1]))
    >>> facts.starts.tolist(), facts.stops.tolist()
    ([True, False, False], [True, False, False])
    >>> facts.inner_stops.tolist(), facts.ambiguous.tolist()
    ([0, 1, 0], [0, 1, 0])
    """
    offsets, data = _buffers(sequences)
    counts = np.diff(offsets) // 3
    ends = np.cumsum(counts)
    begins = ends - counts
    numbers = _codon_numbers(data, offsets, counts)
    stop = _is_stop(numbers, counts, tables)
    filled = np.flatnonzero(counts)
    starts, stops = np.zeros(len(counts), bool), np.zeros(len(counts), bool)
    first = numbers[begins[filled]]
    for table in np.unique(tables):
        starts[filled] |= (tables[filled] == table) & _flags(int(table))[0][first]
    stops[filled] = stop[ends[filled] - 1]
    inner = _sums(stop, begins, ends) - stops
    ambiguous = _sums(numbers == _AMBIGUOUS, begins, ends)
    return CodonFacts(counts, starts, stops, inner, ambiguous)


def _buffers(sequences: pa.Array) -> tuple[Int64s, npt.NDArray[np.uint8]]:
    _, offsets, data = sequences.buffers()
    n = len(sequences)
    if offsets is None or data is None:
        return np.zeros(n + 1, np.int64), np.empty(0, np.uint8)
    cut = np.frombuffer(offsets, np.int64)[sequences.offset : sequences.offset + n + 1]
    return cut, np.frombuffer(data, np.uint8)


def _codon_numbers(
    data: npt.NDArray[np.uint8], offsets: Int64s, counts: Int64s
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Number of every codon of every row: its place in `CODONS`, or 64."""
    codes = _NUCLEOTIDE[data[offsets[0] : offsets[-1]]]
    if (np.diff(offsets) == 3 * counts).all():
        a, b, c = codes[0::3], codes[1::3], codes[2::3]
    else:
        begins = np.cumsum(counts) - counts
        at = np.repeat(offsets[:-1] - offsets[0] - 3 * begins, counts) + 3 * np.arange(counts.sum())
        a, b, c = codes[at], codes[at + 1], codes[at + 2]
    numbers = np.asarray((a << 4) | (b << 2) | c, np.uint8)
    numbers[((a | b | c) & 4) > 0] = _AMBIGUOUS
    return numbers


def _is_stop(numbers: npt.NDArray[np.uint8], counts: Int64s, tables: npt.NDArray[np.integer]) -> Bools:
    kinds = np.unique(tables)
    if len(kinds) <= 1:
        return _flags(int(kinds[0]) if len(kinds) else 1)[1][numbers]
    stops = np.zeros(len(numbers), bool)
    of_codon = np.repeat(tables, counts)
    for table in kinds:
        stops |= (of_codon == table) & _flags(int(table))[1][numbers]
    return stops


@lru_cache
def _flags(table: int) -> tuple[Bools, Bools]:
    """Whether each codon number is a start, and a stop, of a table."""
    code, first = genetic_code(table), start_codons(table)
    starts = np.array([*(codon in first for codon in CODONS), False])
    stops = np.array([*(code[codon] == "*" for codon in CODONS), False])
    return starts, stops


def _sums(flags: Bools, begins: Int64s, ends: Int64s) -> Int64s:
    total = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    return total[ends] - total[begins]
