"""Every pair of similar rows of a dataset: by search, comparison of the short, sketches of the long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.mmseqs import NUCLEOTIDES
from biodata.similarity.pairwise import EPSILON
from biodata.similarity.search import (
    LONG,
    NO_HITS,
    Hits,
    lengths_of,
    merge_hits,
    repair_settings,
    search,
    select,
)
from biodata.similarity.short import short_below, short_links
from biodata.similarity.sketch import alike, describe, long_pairs, sketch_settings


def similar_rows(
    sequences: pa.ChunkedArray, *, alphabet: str, identity: float, coverage: float, workdir: Path,
    threads: int = 0,
) -> tuple[Hits, dict[str, Any]]:  # fmt: skip
    """All pairs of rows at the thresholds that are found, and how they were looked for (for manifests).

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`).
        alphabet: dna, rna, protein or selfies (no search: every pair is compared exactly).
        identity: least alignment identity, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment, above 0, at most 1.
        workdir: for temporary folders, deleted after use.
        threads: 0 uses every core; results do not depend on it.
    """
    hits, command = NO_HITS, ""
    lengths = lengths_of(sequences)
    if alphabet in (*NUCLEOTIDES, "protein"):
        rows = np.flatnonzero((lengths > 0) & (lengths <= LONG))
        by = repair_settings(alphabet=alphabet, identity=identity, coverage=coverage)
        hits, command = search(sequences, by, alphabet=alphabet, queries=rows, targets=rows,
                               workdir=workdir, threads=threads)  # fmt: skip
        hits = select(hits, hits.identity >= identity - EPSILON)
    every = np.ones(len(sequences), bool)
    short = short_links(sequences, every, alphabet=alphabet, identity=identity, coverage=coverage)
    how = sketch_settings(alphabet=alphabet, identity=identity, coverage=coverage)
    long = long_pairs(sequences, how)
    below = short_below(alphabet)
    info = {"command": command, "compared_exactly_below_length": min(below, 1 << 31),
            "rows_compared_exactly": int((lengths < below).sum())} | describe(long, how)  # fmt: skip
    return merge_hits(hits, short, alike(long.hits, how)), info
