"""Sorting with row weights: what the scores share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Ties(NamedTuple):
    """Rows of equal value, in rising order of value.

    Attributes:
        order: rows sorted by value `[n]`.
        starts: where each set of equal values begins in `order`.
        code: the set of each row `[n]`.
    """

    order: np.ndarray
    starts: np.ndarray
    code: np.ndarray

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Summed weights of every set, `[b, sets]` from `[b, n]`."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def places(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Summed weights and mid-ranks of every set, both `[b, sets]`, of weights that are counts."""
        ordered = weights[:, self.order]
        upto = np.cumsum(ordered, axis=1)
        if len(self.starts) < len(self.order):  # much faster than reduceat over many small sets
            upto = upto[:, np.r_[self.starts[1:], len(self.order)] - 1]
            ordered = np.diff(upto, axis=1, prepend=0)
        return ordered, upto - ordered / 2


def ties(values: np.ndarray) -> Ties:
    """Sets of equal values.

    >>> ties(np.array([5.0, 1.0, 5.0])).code.tolist()
    [1, 0, 1]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    code = np.empty(len(values), dtype=np.intp)
    code[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(values)]))
    return Ties(order, starts, code)


def mid_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight below each row plus half the weight of its equals, `[b, n]`."""
    found = ties(values)
    return found.places(weights)[1][:, found.code]


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, NaN where `below` is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)
