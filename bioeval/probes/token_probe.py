"""What the probes on token embeddings share: a module on matrices `[B, T, D]` and lengths `[B]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.torch_fit import Fitting, Schedule, Trained, matrices
from bioeval.protocols import Fitted, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenProbe:
    """A probe made of a module.

    Attributes:
        name: of the probe.
        make: the module for a width D, a number of outputs and a setting of the grid.
        grid: hyper-parameters; `rate` is the learning rate.
        schedule: of every fit, but for the rate.
        least: T at least.
    """

    name: str
    make: Callable[[int, int, Setting], Any]
    grid: Mapping[str, tuple[Any, ...]]
    schedule: Schedule
    least: int = 1

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int) -> Fitted:
        """Fits every setting on train and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, a target that never varies, or no feature that varies.
        """
        check_parts(train, validation)
        standard = Standard.of(train.x)
        width = int(standard.kept.sum())

        def fit(setting: Setting) -> Trained:
            how = Fitting(
                make=lambda outputs: self.make(width, outputs, setting),
                feeder=matrices(standard, least=self.least), metric=metric, seed=seed,
                schedule=replace(self.schedule, rate=setting["rate"]),
            )  # fmt: skip
            return how.fit(train, validation)

        search = Search(probe=self.name, metric=metric, seed=seed, grid=self.grid, notes=standard.notes)
        return choose(search, fit, validation)
