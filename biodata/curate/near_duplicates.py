"""Near duplicates: rows so alike that one of them is enough."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from biodata.similarity.search import Hits


def kept_by(
    hits: Hits, lengths: npt.NDArray[np.int64], *, keep: Literal["first", "longest"]
) -> npt.NDArray[np.int64]:
    """For every row the row that stays in its place; itself if it stays.

    Rows are taken in order (or the longest first); one that is alike to a row which stayed is dropped for the
    earliest such row. So every dropped row is similar to the row named, and no two that stay are similar (the
    greedy scheme of CD-HIT, doi:10.1093/bioinformatics/btl158).

    Args:
        hits: all pairs of similar rows.
        lengths: of all rows.
        keep: which row of a pair stays.

    >>> pairs = Hits(np.array([0, 1]), np.array([1, 2]), np.ones(2))
    >>> kept_by(pairs, np.array([5, 9, 5]), keep="first"), kept_by(pairs, np.array([5, 9, 5]), keep="longest")
    (array([0, 0, 2]), array([1, 1, 1]))
    """
    rows = len(lengths)
    order = np.arange(rows) if keep == "first" else np.argsort(-lengths, kind="stable")
    place = np.empty(rows, np.int64)
    place[order] = np.arange(rows)
    first = np.concatenate([hits.query, hits.target])
    second = np.concatenate([hits.target, hits.query])
    earlier = place[second] < place[first]
    first, second = first[earlier], second[earlier]
    by_place = np.lexsort((place[second], place[first]))
    stands = np.arange(rows)
    for row, other in zip(first[by_place].tolist(), second[by_place].tolist()):
        # all pairs of a row come together, after those of every row before it
        if stands[row] == row and stands[other] == other:
            stands[row] = other
    return stands
