"""What is resampled: rows or whole groups, as counts for every row, in seeded blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.scores import LEAST_ROWS
from bioeval.scores.contacts import CONTACT_METRICS

CELLS = 1 << 19
"""Weights held at once, 4 MiB of float64: what stays in a core's cache."""
_MOST_CELLS, _FEW = 8 * CELLS, 16

GAPS = frozenset({"map", "recall-at-1", *CONTACT_METRICS})
"""Metrics whose predictions may be NaN: queries without an answer, sequences without a contact in a range.
They do not count."""

Groups = Sequence[Any] | np.ndarray | None
Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights `[b, n]` to values `[b]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals are made.

    Attributes:
        resamples: bootstrap resamples, and as many permutations; at least 100.
        seed: of the resampling alone.
        level: confidence level in (0, 1).
    """

    resamples: int = 2000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise ConfigError(f"resamples = {self.resamples}, allowed: at least 100 (2000 is usual)")
        if not 0 < self.level < 1:
            raise ConfigError(f"level = {self.level}, allowed: between 0 and 1")


@dataclass(frozen=True, slots=True)
class Units:
    """The independent units among rows.

    Attributes:
        of_row: unit of each row, int `[n]`.
        count: of units.
        kind: `rows` or `groups`.
    """

    of_row: np.ndarray
    count: int
    kind: str


def units_of(n: int, groups: Groups) -> Units:
    """Each row a unit, or each group.

    Args:
        n: rows.
        groups: a label for every row; `None` makes every row its own.

    Raises:
        DataError: another number of labels than rows.
    """
    if groups is None:
        return Units(np.arange(n), n, "rows")
    labels = np.asarray(groups)
    if len(labels) != n:
        raise DataError(f"{len(labels)} group labels for {n} rows, equal numbers expected")
    of_row = np.unique(labels, return_inverse=True)[1]
    return Units(of_row, int(of_row.max()) + 1, "groups")


def checked(y: np.ndarray, p: np.ndarray, *, gaps: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Measured values and predictions as numbers, all finite, one row each.

    Args:
        y: `[n]`, or `[n, k]` with NaN for what was not measured.
        p: `[n]` or `[n, k]`.
        gaps: whether NaN stands for a row that does not count in `p` (queries that nothing answers).

    Raises:
        DataError: other lengths, fewer than `LEAST_ROWS` rows, or a value that is no number.
    """
    y, p = _numbers(y), _numbers(p)
    if not y.ndim or not p.ndim or len(y) != len(p):
        raise DataError(f"{y.shape} measured values and {p.shape} predictions, equal numbers expected")
    if len(y) < LEAST_ROWS:
        raise DataError(f"{len(y)} rows, at least {LEAST_ROWS} are needed for an interval")
    for what, values, allowed in (("measured value", y, y.ndim > 1), ("prediction", p, gaps)):
        bad = np.flatnonzero(~(np.isfinite(values) | (np.isnan(values) & allowed)).reshape(len(y), -1).all(1))
        if len(bad):
            raise DataError(f"{len(bad)} of {len(values)} {what}s are no number, the first in row {bad[0]}")
    return y, p


def bootstrap_draws(statistic: Statistic, units: Units, how: Resampling) -> np.ndarray:
    """Values of a statistic on bootstrap resamples of the units, `[resamples]`, or `[resamples, k]` of k.

    Args:
        statistic: of row weights; NaN where it is undefined.
        units: drawn with replacement, each with all its rows.
        how: resamples and seed. The same units and seed give the same resamples to every statistic.
    """
    _reuse_memory()
    return np.concatenate([statistic(w) for w in _bootstrap_weights(units, how)])


def left_out_values(statistic: Statistic, units: Units, *, most: int = 500) -> np.ndarray:
    """The jackknife: the statistic with each unit left out, or each of `most` equal blocks of units.

    Leaving out blocks estimates the same acceleration with a noise of about 0.4 / `most` (the skewness of a
    block sum falls as fast as blocks grow fewer) at a cost that does not grow with the square of the rows.

    Args:
        statistic: of row weights.
        units: rows or groups.
        most: blocks; with fewer units each is left out alone.
    """
    block = units.of_row
    count = units.count
    if count > most:
        block = np.random.default_rng(0).permutation(units.count)[units.of_row] % most
        count = most
    step = at_once(len(block))
    starts = range(0, count, step)
    left = (np.arange(s, min(s + step, count)) for s in starts)
    return np.concatenate([statistic((block != b[:, None]).astype(np.float64)) for b in left])


def at_once(n: int) -> int:
    """Resamples of n rows in a block: of many rows still a few, for what a score does once a block.

    >>> at_once(1000), at_once(100_000), at_once(10_000_000)
    (524, 16, 1)
    """
    return max(1, CELLS // n, min(_FEW, _MOST_CELLS // n))


def swaps(units: Units, how: Resampling) -> Iterator[np.ndarray]:
    """Blocks of bool `[b, n]`: whether a row's two labels are swapped, together for the rows of a unit."""
    rng = np.random.default_rng([how.seed, 1])
    step = at_once(2 * len(units.of_row))
    for start in range(0, how.resamples, step):
        size = (min(step, how.resamples - start), units.count)
        drawn = rng.integers(0, 2, size=size, dtype=np.int32).astype(bool)
        yield drawn if units.kind == "rows" else drawn[:, units.of_row]


def _reuse_memory() -> None:
    """Halves the time: glibc gives freed blocks back to the system, which clears every page anew when they
    are needed again, unless it has seen a larger one freed (its threshold moves)."""
    np.empty(4 * CELLS)


def _bootstrap_weights(units: Units, how: Resampling) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(how.seed)
    n, count = len(units.of_row), units.count
    step = at_once(n)
    for start in range(0, how.resamples, step):
        rows = min(step, how.resamples - start)
        # int32 takes a third of the time of int64 and draws the same numbers
        drawn = rng.integers(0, count, size=(rows, count), dtype=np.int32)
        drawn += np.arange(0, rows * count, count, dtype=np.int32)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        yield weights if units.kind == "rows" else weights[:, units.of_row]


def _numbers(values: np.ndarray) -> np.ndarray:
    try:
        array = np.asarray(values)
        return array if array.dtype.kind in "iu" else array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError("values that are no numbers, or rows of unequal length") from None
