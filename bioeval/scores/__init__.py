"""Scores of predictions with a weight for every row: a resample is nothing but a count for every row.

To add one: a function `(y, p, weights[b, n]) -> [b]` in a file here, one line in `SCORES`, its name in
`METRICS` where it makes sense. Signs are never dropped; where a score is undefined it is NaN inside and null
in every file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from biodata.errors import ConfigError
from bioeval.scores import classes, groupings, numbers, top
from bioeval.scores.contacts import CONTACT_METRICS, column_mean

LEAST_ROWS = 3  # rows of each split without which nothing is fitted or scored

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Score:
    """A score and what its values mean.

    Attributes:
        function: of targets `[n]` or `[n, k]`, predictions `[n]` or `[n, k]` and weights `[b, n]`.
        range: of its values.
        constant: what a prediction that is equal for all rows gives.
        lower: whether lower is better.
    """

    function: Metric
    range: str
    constant: str
    lower: bool = False

    def __call__(self, y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The score for each of `b` weightings."""
        return self.function(y, p, weights)

    def allows(self, value: float) -> bool:
        """Whether a value is in the range, up to rounding.

        >>> SCORES["spearman"].allows(-0.9), SCORES["spearman"].allows(85), SCORES["rmse"].allows(85)
        (True, False, True)
        """
        first = self.range.split()[0]
        least = -float("inf") if first == "below" else float(first)
        most = 1.0 if self.range.endswith("to 1") else float("inf")
        return least - 1e-6 <= value <= most + 1e-6


SCORES: dict[str, Score] = {
    "accuracy": Score(classes.accuracy, "0 to 1", "share of that class"),
    "adjusted-rand": Score(groupings.adjusted_rand, "-0.5 to 1", "0"),
    "auprc": Score(classes.auprc, "0 to 1", "share of positives"),
    "auroc": Score(classes.auroc, "0 to 1", "0.5"),
    "balanced-accuracy": Score(classes.balanced_accuracy, "0 to 1", "1/k"),
    "cross-entropy": Score(classes.cross_entropy, "0 nats up", "ln k at best for even classes", lower=True),
    "fmax": Score(classes.fmax, "0 to 1", "that of labelling all rows alike"),
    "macro-f1": Score(classes.macro_f1, "0 to 1", "2 s / (1 + s) / k for a share s"),
    "mae": Score(numbers.mae, "0 up, unit of the target", "mean distance from it", lower=True),
    "map": Score(groupings.mean_average_precision, "0 to 1", "that of the gallery's order"),
    "mcc": Score(classes.mcc, "-1 to 1", "0"),
    "micro-f1": Score(classes.micro_f1, "0 to 1", "2 s / (1 + s) for a share s"),
    "ndcg10": Score(top.ndcg10, "0 to 1", "that of the file's order"),
    "pearson": Score(numbers.pearson, "-1 to 1", "undefined"),
    "r2": Score(numbers.r2, "below 0 to 1", "at most 0"),
    "recall-at-1": Score(groupings.recall_at_1, "0 to 1", "that of the gallery's first row"),
    "rmse": Score(numbers.rmse, "0 up, unit of the target", "at least the spread", lower=True),
    "spearman": Score(numbers.spearman, "-1 to 1", "undefined"),
    "top10-recall": Score(top.top10_recall, "0 to 1", "0"),
    "v-measure": Score(groupings.v_measure, "0 to 1", "0"),
    **{
        name: Score(column_mean(at), "0 to 1", "share of contacts among the pairs")
        for at, name in enumerate(CONTACT_METRICS)
    },
}
LOWER_IS_BETTER = frozenset(name for name, found in SCORES.items() if found.lower)

_NUMBERS = ("spearman", "pearson", "r2", "rmse", "mae", "ndcg10", "top10-recall")
_CLASSES = ("accuracy", "balanced-accuracy", "macro-f1", "mcc", "auroc", "auprc", "cross-entropy")
METRICS: dict[str, tuple[str, ...]] = {
    "number": _NUMBERS,
    "class": _CLASSES,
    "labels": ("auroc", "auprc", "micro-f1", "macro-f1", "fmax"),
    "score of numbers": ("spearman", "ndcg10", "top10-recall"),
    "score of classes": ("auroc", "auprc"),
    "retrieval": ("map", "recall-at-1"),
    "clustering": ("v-measure", "adjusted-rand"),
    "contacts": CONTACT_METRICS,
}


def metrics_for(kind: str, *, classes: bool) -> tuple[str, ...]:
    """Names of the scores that a kind of task can have, the usual one first.

    Args:
        kind: of `bioeval.protocols.KINDS`.
        classes: whether its targets are classes.

    >>> metrics_for("zero-shot", classes=True)
    ('auroc', 'auprc')
    """
    if kind in ("retrieval", "clustering", "contacts"):
        return METRICS[kind]
    if kind == "multi-label":
        return METRICS["labels"]
    if kind == "zero-shot":
        return METRICS["score of classes" if classes else "score of numbers"]
    return METRICS["class" if classes else "number"]


def weighted(name: str) -> Metric:
    """A metric by its name, for rows with weights.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in SCORES:
        raise ConfigError(f"unknown metric {name!r} (known: {', '.join(SCORES)})")
    return SCORES[name]


def score(metric: str, y: np.ndarray, p: np.ndarray) -> float:
    """The plain value of a metric, NaN where it is undefined.

    Args:
        metric: a name of `SCORES`.
        y: targets `[n]` or `[n, k]`.
        p: predictions `[n]` or `[n, k]`.

    Raises:
        ConfigError: an unknown metric.
    """
    return float(weighted(metric)(np.asarray(y), np.asarray(p, float), np.ones((1, len(y))))[0])
