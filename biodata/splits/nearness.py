"""Looser signs than a leak that two splits share sequences: exact copies, shared k-mers, equal proteins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from biodata.codon import genetic_code
from biodata.mmseqs import NUCLEOTIDES

KMER = {"dna": 21, "rna": 21, "protein": 7}
SHARE = 0.5
_MOST_BYTES = 50_000_000  # k-mers of more take too much memory


def nearness(sequences: pa.ChunkedArray, split: np.ndarray, *, alphabet: str) -> dict[str, Any]:
    """How many test rows are near the training rows, beside what counts as a leak.

    Args:
        sequences: normalised.
        split: 0 train, 1 validation, 2 test.

    Returns:
        `test_rows`, `identical` (test rows whose sequence is a training sequence), `kmer` and
        `sharing_half_of_kmers` (test rows of which half of the distinct k-mers or more are in one and the
        same training row), and for nucleotides `same_protein` (test rows that are whole codons and translate
        to the protein of a training row). Nothing for sets of more than 50 MB.

    >>> rows = pa.chunked_array([["ATGAAA" * 5, "ATGAAG" * 5, "ATGAAA" * 5]])
    >>> found = nearness(rows, np.array([0, 2, 2]), alphabet="rna")
    >>> found["identical"], found["sharing_half_of_kmers"], found["same_protein"]
    (1, 1, 2)
    """
    if sequences.nbytes > _MOST_BYTES:
        return {}
    texts = sequences.to_pylist()
    train = list(dict.fromkeys(texts[row] for row in np.flatnonzero(split == 0)))
    tests = [texts[row] for row in np.flatnonzero(split == 2)]
    known = set(train)
    found: dict[str, Any] = {"test_rows": len(tests), "identical": sum(text in known for text in tests)}
    if k := KMER.get(alphabet):
        found |= {"kmer": k, "sharing_half_of_kmers": _sharing(train, tests, k)}
    if alphabet in NUCLEOTIDES:
        proteins = {protein for text in train if (protein := _protein(text))}
        found["same_protein"] = sum(_protein(text) in proteins for text in tests)
    return found


def _sharing(train: list[str], tests: list[str], k: int) -> int:
    owners: dict[str, list[int]] = {}
    wanted = {kmer for text in tests for kmer in _kmers(text, k)}
    for row, text in enumerate(train):
        for kmer in _kmers(text, k) & wanted:
            owners.setdefault(kmer, []).append(row)
    near = 0
    for text in tests:
        kmers = _kmers(text, k)
        rows = [row for kmer in kmers for row in owners.get(kmer, ())]
        near += bool(rows) and int(np.bincount(rows).max()) >= SHARE * len(kmers)
    return near


def _kmers(text: str, k: int) -> set[str]:
    return {text[at : at + k] for at in range(len(text) - k + 1)}


def _protein(text: str) -> str | None:
    if not text or len(text) % 3:
        return None
    code = genetic_code(1)
    return "".join(code.get(text[at : at + 3], "X") for at in range(0, len(text), 3))
