"""Pairs of which one sequence is too short for k-mer searches: all of them are compared."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from biodata.similarity.pairwise import short_pairs
from biodata.similarity.search import LONG, NO_HITS, Hits, lengths_of

_SHORT_BELOW = {"protein": 32, "dna": 100, "rna": 100}


def short_below(alphabet: str) -> int:
    """Length below which pairs are compared exactly because k-mer searches miss some (measured).

    SELFIES have no MMseqs2 alphabet: all of them are compared exactly.
    """
    return _SHORT_BELOW.get(alphabet, 1 << 62)


def short_links(
    sequences: pa.ChunkedArray, rows: np.ndarray, *, alphabet: str, identity: float, coverage: float
) -> Hits:
    """Similar pairs of the rows of a mask whose shorter sequence is below `short_below`: exactly all.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`).
        rows: bool mask of the rows that may be in a pair.
        alphabet: dna (both strands are compared), rna, protein or selfies.
        identity: least identity of a pair, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment, above 0, at most 1.
    """
    below = short_below(alphabet)
    length = lengths_of(sequences)
    if not (rows & (length < below)).any():
        return NO_HITS
    longest = min(LONG, below / (identity * coverage))
    chosen = np.flatnonzero(rows & (length > 0) & (length <= longest))
    texts = sequences.take(pa.array(chosen)).to_pylist()
    found = short_pairs(texts, below=below, identity=identity, coverage=coverage,
                        both_strands=alphabet == "dna")  # fmt: skip
    return Hits(chosen[found.query], chosen[found.target], found.identity)
