"""What the probes over scikit-learn share: fit, and probabilities of every class of the task."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioeval.probes.features import Standard
from bioeval.protocols import Inputs, Part


@dataclass(frozen=True, slots=True)
class Estimator:
    """A fitted estimator: one for numbers and classes, one a label for labels.

    Attributes:
        fitted: estimators, or a number where all rows of a label were alike.
        target: `number`, `class` or `labels`.
        classes: columns of what it predicts.
        standard: of the features, `None` where they are taken as they are.
        parameters: numbers fitted: coefficients and intercepts, weights of support vectors, one a node of
            trees; none of neighbours.
        notes: for the result file.
    """

    fitted: tuple[Any, ...]
    target: str
    classes: int
    standard: Standard | None
    parameters: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    def __call__(self, inputs: Inputs) -> np.ndarray:
        """Numbers `[n]`, or probabilities `[n, k]`."""
        x = inputs.x if self.standard is None else self.standard(inputs.x)
        if self.target == "number":
            return np.asarray(self.fitted[0].predict(x), dtype=np.float64)
        if self.target == "class":
            return _probabilities(self.fitted[0], x, self.classes)
        return np.stack([_of_label(found, x) for found in self.fitted], axis=1)


def fit_estimator(make: Callable[[], Any], train: Part, *, standard: Standard | None) -> Estimator:
    """Fits a scikit-learn estimator on train rows.

    Args:
        make: a new unfitted estimator, seeded.
        train: the rows; labels that were not measured are left out label by label.
        standard: how features are standardised first, `None` for not at all.
    """
    x = train.x if standard is None else standard(train.x)
    if train.target != "labels":
        fitted = _fitted(make(), x, train.y)
        return Estimator((fitted,), train.target, train.classes, standard, _numbers_of(fitted))
    columns = []
    for y in train.y.T:
        known = np.isfinite(y)
        seen = np.unique(y[known])
        constant = float(seen[0]) if len(seen) == 1 else 0.5
        columns.append(_fitted(make(), x[known], y[known].astype(int)) if len(seen) == 2 else constant)
    numbers = sum(map(_numbers_of, columns))
    return Estimator(tuple(columns), "labels", train.y.shape[1], standard, numbers)


def _numbers_of(estimator: Any) -> int:
    if isinstance(estimator, float):
        return 1
    if hasattr(estimator, "estimators_"):
        return sum(tree.tree_.node_count for tree in estimator.estimators_)
    inner = getattr(estimator, "regressor_", estimator)
    weights = "dual_coef_" if hasattr(inner, "dual_coef_") else "coef_"
    return sum(np.size(getattr(inner, name)) for name in (weights, "intercept_") if hasattr(inner, name))


def _fitted(estimator: Any, x: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A penalty at which the solver stops early loses on validation; it is no news.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x, y)


def _probabilities(estimator: Any, x: np.ndarray, classes: int) -> np.ndarray:
    found = np.zeros((len(x), classes))
    found[:, estimator.classes_] = estimator.predict_proba(x)
    return found


def _of_label(estimator: Any, x: np.ndarray) -> np.ndarray:
    return np.full(len(x), estimator) if isinstance(estimator, float) else estimator.predict_proba(x)[:, 1]
