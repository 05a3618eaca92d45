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
        return self.within(weights[:, self.order])

    def within(self, ordered: np.ndarray) -> np.ndarray:
        """Sums of every set, `[b, sets]` from values `[b, n]` that are in order already."""
        alone = len(self.starts) == len(self.order)
        return ordered if alone else np.add.reduceat(ordered, self.starts, axis=1)


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
    tied = found.sums(weights)
    return (np.cumsum(tied, axis=1) - tied / 2)[:, found.code]


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, NaN where `below` is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)
