"""When an interval is likely too narrow, by rules that simulations gave (docs/evaluation.md, Statistics)."""

from __future__ import annotations

import numpy as np

from bioeval.stats.resampling import Units

TOO_NARROW = "interval likely too narrow"
LEAST_UNITS = 15
"""Below these no coverage was measured."""
LEAST_TO_STUDENTISE = 25
"""Of fewer units many resamples hold so few of them that their spread means nothing."""
LEAST_OF_CLASS = 5
LEAST_OF_TOP = {"ndcg10": 2, "top10-recall": 2}
"""Rows of the top tenth: below these, too, none was measured."""
_OF_CLASSES = frozenset({"auroc", "auprc"})
_OF_SQUARES = frozenset({"rmse", "r2"})


def caution(metric: str, y: np.ndarray, units: Units) -> str:
    """Why the interval of a score may hold the true value less often than it says; empty where it should not.

    Args:
        metric: a name of `bioeval.scores.SCORES`.
        y: targets `[n]` or `[n, k]`.
        units: rows or groups.

    >>> caution("auprc", np.repeat([0, 1], [40, 4]), Units(np.arange(44), 44, "rows"))
    'interval likely too narrow: 4 rows of the rarest class, 5 are wanted'
    >>> caution("accuracy", np.repeat([0, 1], [40, 4]), Units(np.arange(44), 44, "rows"))
    ''
    """
    if units.count < LEAST_UNITS:
        why = f"{units.count} {units.kind}, {LEAST_UNITS} are wanted"
    elif metric in _OF_SQUARES and units.count < LEAST_TO_STUDENTISE:
        why = f"squared errors of {units.count} {units.kind}, {LEAST_TO_STUDENTISE} are wanted"
    elif units.count // 10 < (wanted := LEAST_OF_TOP.get(metric, 0)):
        why = f"the top tenth is {units.count // 10} {units.kind}, {wanted} are wanted"
    elif metric in _OF_CLASSES and (rarest := _rarest(y, units)) < LEAST_OF_CLASS:
        why = f"{rarest} {units.kind} of the rarest class, {LEAST_OF_CLASS} are wanted"
    else:
        return ""
    return f"{TOO_NARROW}: {why}"


def _rarest(y: np.ndarray, units: Units) -> int:
    """Units with the rarest class that there is, or of labels the rarest value of any."""
    columns = y.T if y.ndim == 2 else [y]
    counts = [
        len(np.unique(units.of_row[column == value]))
        for column in columns
        for value in np.unique(column[np.isfinite(column)])
    ]
    return min(counts, default=0)
