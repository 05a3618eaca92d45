"""A whole column of nucleotides translated at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.codon import CODONS, genetic_code

_NUCLEOTIDE = np.full(256, 64, np.uint8)
for _letters in (b"ACGT", b"acgt", b"ACGU", b"acgu"):
    _NUCLEOTIDE[list(_letters)] = range(4)


def translate_column(
    sequences: pa.Array, starts: npt.NDArray[np.int64] | None = None, *, table: int = 1
) -> pa.Array:
    """Residues of each row from its reading frame on, `*` for stops, `X` for any codon that is not ACGTU.

    One or two letters after the last whole codon are ignored. Unlike `biodata.codon.translate`, codons
    with ambiguity codes are not resolved.

    Args:
        sequences: large_string without nulls.
        starts: first position read of each row, 0-based; 0 where left out.
        table: NCBI translation table.

    >>> translate_column(pa.array(["ATGGCN", "CATGTAAC"], pa.large_string()), np.array([0, 1])).to_pylist()
    ['MX', 'M*']
    """
    n = len(sequences)
    _, offset_buffer, data = sequences.buffers()
    if not n or data is None:
        return pa.array([""] * n, pa.large_string())
    offsets = np.frombuffer(offset_buffer, np.int64)[sequences.offset : sequences.offset + n + 1]
    first = offsets[:-1] + (0 if starts is None else np.minimum(starts, np.diff(offsets)))
    counts = (offsets[1:] - first) // 3
    ends = np.concatenate([[0], np.cumsum(counts)])
    at = np.repeat(first - 3 * ends[:-1], counts) + 3 * np.arange(ends[-1])
    letters = _NUCLEOTIDE[np.frombuffer(data, np.uint8)]
    a, b, c = letters[at], letters[at + 1], letters[at + 2]
    numbers = np.where((a | b | c) >= 64, 64, (a << 4) | (b << 2) | c)
    residues = _residues(table)[numbers]
    return pa.Array.from_buffers(pa.large_string(), n, [None, pa.py_buffer(ends), pa.py_buffer(residues)])


@lru_cache
def _residues(table: int) -> npt.NDArray[np.uint8]:
    code = genetic_code(table)
    return np.frombuffer("".join([*(code[codon] for codon in CODONS), "X"]).encode(), np.uint8)
