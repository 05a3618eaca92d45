"""Pairs of similar rows of one dataset, by the searches that also find leaks."""

from __future__ import annotations

from pathlib import Path

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
from biodata.similarity.short import short_links
from biodata.similarity.sketch import alike, long_pairs, sketch_settings


def similar_rows(
    sequences: pa.ChunkedArray, *, alphabet: str, identity: float, coverage: float, workdir: Path,
    threads: int = 0,
) -> Hits:  # fmt: skip
    """All pairs of rows at the thresholds that are found by search, by comparison (short) or sketch (long).

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`), none empty.
        identity: least alignment identity, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment.
        workdir: for temporary folders, deleted after use.
        threads: 0 uses every core.
    """
    hits = NO_HITS
    if alphabet in (*NUCLEOTIDES, "protein"):
        lengths = lengths_of(sequences)
        rows = np.flatnonzero((lengths > 0) & (lengths <= LONG))
        how = repair_settings(alphabet=alphabet, identity=identity, coverage=coverage)
        hits, _ = search(sequences, how, alphabet=alphabet, queries=rows, targets=rows, workdir=workdir,
                         threads=threads)  # fmt: skip
        hits = select(hits, hits.identity >= identity - EPSILON)
    short = short_links(sequences, np.ones(len(sequences), bool), alphabet=alphabet, identity=identity,
                        coverage=coverage)  # fmt: skip
    settings = sketch_settings(alphabet=alphabet, identity=identity, coverage=coverage)
    return merge_hits(hits, short, alike(long_pairs(sequences, settings).hits, settings))
