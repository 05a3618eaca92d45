"""The one routine by which every probe chooses its hyper-parameters: on the validation rows alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from biodata.errors import DataError
from bioeval.protocols import Fitted, Inputs, Part
from bioeval.scores import LEAST_ROWS, LOWER_IS_BETTER, score

Predict = Callable[[Inputs], np.ndarray]
Setting = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is tried, and how one of it is taken.

    Attributes:
        probe: its name.
        metric: a name of `bioeval.scores.SCORES`, on validation.
        seed: of the draw below; probes draw with it too.
        grid: values of every hyper-parameter, the most cautious (most regularised) first: of settings with
            equal scores the first is taken.
        most: settings tried at most; where the grid has more, so many are drawn from it with `seed`.
        notes: facts of the probe worth storing with the choice.
    """

    probe: str
    metric: str
    seed: int
    grid: Mapping[str, tuple[Any, ...]]
    most: int = 64
    notes: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> list[dict[str, Any]]:
        """The settings tried, in grid order.

        >>> Search(probe="p", metric="r2", seed=0, grid={"a": (1, 2), "b": (3,)}).settings()
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
        """
        every = [dict(zip(self.grid, values)) for values in product(*self.grid.values())]
        if len(every) <= self.most:
            return every
        drawn = np.random.default_rng(self.seed).choice(len(every), self.most, replace=False)
        return [every[i] for i in sorted(drawn)]


def choose(search: Search, fit: Callable[[Setting], Predict], validation: Part) -> Fitted:
    """Fits every setting, scores it on validation and keeps the best.

    Args:
        search: what is tried.
        fit: fits one setting on the train rows and returns how it predicts; may carry `parameters` (how many
            numbers were fitted) and `notes`.
        validation: rows that only this routine scores.
    """
    sign, best = -1 if search.metric in LOWER_IS_BETTER else 1, -np.inf
    value, chosen, kept, settings = np.nan, dict[str, Any](), None, search.settings()
    for setting in settings:
        predict = fit(setting)
        found = score(search.metric, validation.y, predict(validation))
        # Only the best is held: it may be a whole model.
        if kept is None or (not np.isnan(found) and sign * found > best):
            value, chosen, kept = found, setting, predict
            best = -np.inf if np.isnan(found) else sign * found
    assert kept is not None
    return Fitted(
        validation=value, predict=kept, cost=getattr(kept, "parameters", 0),
        settings={
            "probe": search.probe, **chosen, "grid": {k: list(v) for k, v in search.grid.items()},
            "settings_tried": len(settings), "at_edge": _at_edge(search, chosen), "seed": search.seed,
            "chosen_on": "validation", "fitted_on": "train", **search.notes, **getattr(kept, "notes", {}),
        },
    )  # fmt: skip


def check_parts(train: Part, validation: Part) -> None:
    """Refuses what no probe can learn from.

    Raises:
        DataError: too few rows, a target that never varies, or values that are no finite numbers.
    """
    for name, part in (("train", train), ("validation", validation)):
        if len(part.y) < LEAST_ROWS:
            raise DataError(f"{len(part.y)} {name} rows, at least {LEAST_ROWS} are needed")
        if part.target != "labels" and not np.isfinite(part.y).all():
            row = int(np.argmin(np.isfinite(part.y)))
            raise DataError(f"{name} target {row} is {part.y[row]}, a finite number expected")
        if not _varies(part.y):
            shown = f"{part.y.flat[0]:g}" if part.target == "number" else "of one class"
            raise DataError(f"all {len(part.y)} {name} targets are {shown}: nothing to predict")


def _varies(y: np.ndarray) -> bool:
    if y.ndim == 1:
        return bool(np.ptp(y) > 0)
    seen = (np.where(np.isfinite(c), c, np.nan) for c in y.T)
    return any(len(np.unique(c[np.isfinite(c)])) > 1 for c in seen)


def _at_edge(search: Search, setting: Setting) -> list[str]:
    """Hyper-parameters whose best value is the first or last of three or more: a wider grid may be better."""
    return [k for k, v in search.grid.items() if len(v) > 2 and setting[k] in (v[0], v[-1])]
