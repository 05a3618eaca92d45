"""Where the test set is small: repeated splits, and what their mean is worth.

Scores of repeated splits share most of their training rows and are no independent observations: their plain
standard error is far too small. Nadeau & Bengio 2003 (doi:10.1023/A:1024068626366, equation 9) correct the
variance of the mean to (1/J + n_test/n_train) s^2, with Student's t of J - 1 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.stats.resampling import Groups, units_of

LEAST_REPEATS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedSplits:
    """Mean score over repeated splits with its corrected interval.

    Attributes:
        mean: of the scores.
        lo: lower bound.
        hi: upper bound.
        scores: of each split, in order.
        n_train: rows that a split trains on.
        n_test: rows that it is scored on.
    """

    mean: float
    lo: float
    hi: float
    scores: tuple[float, ...]
    n_train: int
    n_test: int
    level: float = 0.95

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "mean": self.mean, "lo": self.lo, "hi": self.hi, "repeats": len(self.scores),
            "n_train": self.n_train, "n_test": self.n_test, "level": self.level,
            "method": "corrected resampled t", "scores": list(self.scores),
        }  # fmt: skip


def resplits(
    n: int, *, repeats: int, test_share: float, groups: Groups = None, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random splits of the same rows, whole groups on one side.

    Args:
        n: rows.
        repeats: how many splits, at least 5.
        test_share: of the groups (or rows) that test, in (0, 1); at least one on each side.
        groups: a label for every row, `None` for single rows.
        seed: of the splits.

    Yields:
        Sorted row numbers of train and test.

    Raises:
        ConfigError: a share or number of repeats that is not allowed.
        DataError: fewer than two groups.
    """
    if repeats < LEAST_REPEATS:
        raise ConfigError(f"repeats = {repeats}, allowed: at least {LEAST_REPEATS}")
    if not 0 < test_share < 1:
        raise ConfigError(f"test_share = {test_share}, allowed: between 0 and 1")
    units = units_of(n, groups)
    if units.count < 2:
        raise DataError(f"{units.count} group, at least 2 are needed to split")
    held_out = min(units.count - 1, max(1, round(test_share * units.count)))
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        chosen = np.zeros(units.count, dtype=bool)
        chosen[rng.permutation(units.count)[:held_out]] = True
        tests = chosen[units.of_row]
        yield np.flatnonzero(~tests), np.flatnonzero(tests)


def corrected_interval(
    scores: Sequence[float], *, n_train: int, n_test: int, level: float = 0.95
) -> RepeatedSplits:
    """The mean of scores of repeated splits with an interval that knows that they overlap.

    Args:
        scores: one of each split, at least 5, all defined.
        n_train: rows that a split trains on (of group splits: the mean).
        n_test: rows that it is scored on.
        level: confidence level in (0, 1).

    Raises:
        ConfigError: sizes or a level that are not allowed.
        DataError: too few scores, or one that is undefined.

    >>> found = corrected_interval([0.5, 0.6, 0.55, 0.45, 0.5], n_train=80, n_test=20)
    >>> round(found.mean, 2), round(found.lo, 3), round(found.hi, 3)
    (0.52, 0.414, 0.626)
    """
    from scipy.special import stdtrit

    values = np.asarray(scores, dtype=np.float64)
    if len(values) < LEAST_REPEATS:
        raise DataError(f"{len(values)} splits, at least {LEAST_REPEATS} are needed for an interval")
    if not np.isfinite(values).all():
        number = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"the score of split {number} is undefined (constant predictions or targets?)")
    if n_train < 1 or n_test < 1:
        raise ConfigError(f"n_train = {n_train}, n_test = {n_test}, allowed: at least 1")
    if not 0 < level < 1:
        raise ConfigError(f"level = {level}, allowed: between 0 and 1")
    mean, variance = float(values.mean()), float(values.var(ddof=1))
    error = np.sqrt((1 / len(values) + n_test / n_train) * variance)
    half = float(-stdtrit(len(values) - 1, (1 - level) / 2) * error)
    return RepeatedSplits(
        mean=mean, lo=mean - half, hi=mean + half, scores=tuple(values.tolist()), n_train=n_train,
        n_test=n_test, level=level,
    )  # fmt: skip
