"""Correction of p-values for many tests; `None` (no test could be made) stays `None` and is not counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from biodata.errors import ConfigError

Correction = Callable[[np.ndarray], np.ndarray]
"""Sorted p-values to corrected ones."""


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down: with these at most 0.05, the chance of any false finding is at most 5 %.

    Holds under any dependence. Holm 1979, Scandinavian Journal of Statistics 6:65-70: the i-th smallest of m
    is multiplied by m - i + 1, never below the one before it.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _by_rank(p_values, lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's step-up: of findings with these at most 0.05, about 5 % at most are false.

    For independent or positively dependent tests (doi:10.1111/j.2517-6161.1995.tb02031.x): the i-th smallest
    of m is multiplied by m / i, never above the one after it.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """

    def step_up(p: np.ndarray) -> np.ndarray:
        scaled = p * len(p) / np.arange(1, len(p) + 1)
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _by_rank(p_values, step_up)


def _by_rank(p_values: Sequence[float | None], corrected: Correction) -> list[float | None]:
    known = [(i, p) for i, p in enumerate(p_values) if p is not None]
    wrong = [p for _, p in known if not 0 <= p <= 1]
    if wrong:
        raise ConfigError(f"p-value {wrong[0]}, allowed: 0 to 1, or None where no test was made")
    order = sorted(known, key=lambda pair: pair[1])
    values = np.minimum(1.0, corrected(np.array([p for _, p in order], dtype=np.float64)))
    result: list[float | None] = [None] * len(p_values)
    for (i, _), value in zip(order, values):
        result[i] = float(value)
    return result
