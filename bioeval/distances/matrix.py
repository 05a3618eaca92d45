"""Distances within and between groups at equal numbers of windows, permutation tests, and their
correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bioeval.metrics.protocol import Metric

INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Distances of all pairs of groups.

    Attributes:
        values: float64 [B, groups, groups], symmetric, of resamples of half of the windows of each side; on
            the diagonal one half of a group against its other half.
        p_values: float64 [groups, groups], permutation tests; NaN on the diagonal.
        adjusted: the same after Holm's correction for the number of pairs.
    """

    values: np.ndarray
    p_values: np.ndarray
    adjusted: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Means over resamples [groups, groups]."""
        return self.values.mean(axis=0)

    @property
    def net(self) -> np.ndarray:
        """What is left of each mean when the mean of the two groups' inner distances is taken off, 0 or more.

        Source: net divergence, Nei and Li 1979 (doi:10.1073/pnas.76.10.5269), equation 25. It takes off what
        a finite sample shows against itself, and the variety within the groups.
        """
        return net_distances(self.mean)


def net_distances(matrix: np.ndarray) -> np.ndarray:
    """A matrix less the mean of the two diagonal values, 0 or more, 0 on the diagonal.

    >>> net_distances(np.array([[1.0, 4.0], [4.0, 2.0]])).tolist()
    [[0.0, 2.5], [2.5, 0.0]]
    """
    inner = np.diagonal(matrix)
    net = np.maximum(matrix - (inner[:, None] + inner[None, :]) / 2, 0)
    np.fill_diagonal(net, 0)
    return net


def measure_distances(
    metric: Metric, features: Any, labels: np.ndarray, *, column: int, draws: tuple[int, int, int]
) -> Distances:
    """Compares all pairs of groups.

    Every value compares equally many windows, half of a group's, whether within or between groups, so that
    the bias of finite samples is the same everywhere. The test permutes the windows of two groups: p is
    (1 + permutations as far apart or farther) / (1 + permutations).

    Args:
        metric: of kind distance.
        features: its features of the windows of all groups.
        labels: int64 [windows], the group of each, equally many of each.
        column: which of its measures.
        draws: resamples, permutations and seed.
    """
    resamples, permutations, seed = draws
    groups = int(labels.max()) + 1
    rng = np.random.default_rng(seed)
    half = int((labels == 0).sum()) // 2
    values = np.zeros((resamples, groups, groups))
    p_values = np.full((groups, groups), np.nan)

    def compare(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        return metric.compare(features, features, rows=rows, others=others)[:, column]

    for group in range(groups):
        order = _orders(labels == group, resamples, rng)
        values[:, group, group] = compare(
            _mask(order[:, :half], labels), _mask(order[:, half : 2 * half], labels)
        )
    for a, b in combinations(range(groups), 2):
        left, right = (_orders(labels == g, resamples, rng)[:, :half] for g in (a, b))
        values[:, a, b] = values[:, b, a] = compare(_mask(left, labels), _mask(right, labels))
        if permutations:
            found = _permuted(compare, labels, (a, b), permutations, rng)
            p_values[a, b] = p_values[b, a] = found
    return Distances(values=values, p_values=p_values, adjusted=_adjusted(p_values))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979, doi:10.2307/4615733): the chance of one false finding or more.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.sort(p_values) * (len(p_values) - np.arange(len(p_values)))
    result = np.zeros(len(p_values))
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return result.tolist()


def parents_test(
    net: np.ndarray, parents: Sequence[str], *, permutations: int, seed: int
) -> dict[str, Any] | None:
    """Whether groups of one parent (phylum) are nearer to each other than to those of others.

    The statistic is the mean distance between parents less that within them; names of parents are permuted
    over the groups.

    Args:
        net: distances [groups, groups].
        parents: of each group, "" for none.
        permutations: how many.
        seed: of them.

    Returns:
        `within`, `between` (means), `p_value`, `groups`; None unless two parents or more are there and one
        has two groups or more.
    """
    names = np.array(parents)
    upper = np.triu_indices(len(names), 1)
    if len(set(parents)) < 2 or "" in parents or len(set(parents)) == len(parents):
        return None

    def means(labels: np.ndarray) -> tuple[float, float]:
        same = labels[upper[0]] == labels[upper[1]]
        return float(net[upper][same].mean()), float(net[upper][~same].mean())

    within, between = means(names)
    rng = np.random.default_rng(seed)
    shuffled = [means(rng.permutation(names)) for _ in range(permutations)]
    # rounding must not make a permutation that changes nothing smaller than what was found
    as_far = sum(b - a >= between - within - 1e-12 for a, b in shuffled)
    p_value = (1 + as_far) / (1 + permutations)
    return {"within": within, "between": between, "p_value": p_value, "groups": len(names)}


def _orders(members: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Random orders of the members, int64 [B, members]."""
    places = np.flatnonzero(members)
    return rng.permuted(np.tile(places, (resamples, 1)), axis=1)


def _mask(places: np.ndarray, labels: np.ndarray) -> np.ndarray:
    mask = np.zeros((len(places), len(labels)), dtype=bool)
    np.put_along_axis(mask, places, True, axis=1)
    return mask


def _permuted(
    compare: Any, labels: np.ndarray, pair: tuple[int, int], number: int, rng: np.random.Generator
) -> float:
    """p of the distance of all windows of two groups."""
    both = np.isin(labels, pair)
    size = int((labels == pair[0]).sum())
    found = compare((labels == pair[0])[None], (labels == pair[1])[None])[0]
    order = _orders(both, number, rng)
    shuffled = compare(_mask(order[:, :size], labels), _mask(order[:, size:], labels))
    nearer = shuffled < found - 1e-12  # what has no value counts as far as well
    return float((1 + (~nearer).sum()) / (1 + number))


def _adjusted(p_values: np.ndarray) -> np.ndarray:
    result = np.full(p_values.shape, np.nan)
    upper = np.triu_indices(len(p_values), 1)
    known = p_values[upper]
    if len(known) and not np.isnan(known).any():
        result[upper] = holm(known.tolist())
        result.T[upper] = result[upper]
    return result
