"""What the probes on token embeddings share: a body on matrices `[B, T, D]` and lengths `[B]`, a linear head.

The body makes features of each row; of pairs both sides go through it and the head reads both features, their
difference and product; of marked positions it makes features of each position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.torch_fit import Fitting, Schedule, Trained, joined_sides, matrices
from bioeval.protocols import Fitted, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenProbe:
    """A probe made of a module.

    Attributes:
        name: of the probe.
        make: the body for a width D, and whether it keeps positions: `(x, lengths)` to `[B, size]`, or
            `[B, T, size]`; it has `size`.
        grid: hyper-parameters; `rate` is the learning rate.
        schedule: of every fit, but for the rate.
        least: T at least.
    """

    name: str
    make: Callable[[int, bool], Any]
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
        width, positions = int(standard.kept.sum()), train.marked is not None

        def fit(setting: Setting) -> Trained:
            how = Fitting(
                make=lambda outputs: _with_head(self.make(width, positions), outputs, pairs=train.pairs),
                feeder=matrices(standard, least=self.least), metric=metric, seed=seed,
                schedule=replace(self.schedule, rate=setting["rate"]),
            )  # fmt: skip
            return how.fit(train, validation)

        search = Search(probe=self.name, metric=metric, seed=seed, grid=self.grid, notes=standard.notes)
        return choose(search, fit, validation)


def _with_head(body: Any, outputs: int, *, pairs: bool) -> Any:
    from torch import nn

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.head = nn.Linear(4 * body.size if pairs else body.size, outputs)

        def forward(self, x: Any, lengths: Any, marked: Any = None) -> Any:
            found = self.body(x, lengths)
            if marked is not None:
                found = found.flatten(0, 1)[marked]
            return self.head(joined_sides(found) if pairs else found)

    return Module()
