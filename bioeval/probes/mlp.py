"""A multi-layer perceptron with one hidden layer on standardised features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.torch_fit import Fitting, Schedule, Trained, vectors
from bioeval.protocols import Fitted, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Perceptron:
    """Linear, ReLU, dropout, linear.

    Attributes:
        hidden: widths tried, rising.
        dropout: tried, falling, in [0, 1).
        schedule: of every fit.
    """

    reads: ClassVar[Literal["vectors"]] = "vectors"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    hidden: tuple[int, ...] = (32, 256)
    dropout: tuple[float, ...] = (0.5, 0.1)
    schedule: Schedule = field(default_factory=Schedule)

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits every setting on train and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, a target that never varies, or no feature that varies.
        """
        check_parts(train, validation)
        standard = Standard.of(train.x)
        width = int(standard.kept.sum())

        def fit(setting: Setting) -> Trained:
            def make(outputs: int) -> Any:
                from torch import nn

                return nn.Sequential(
                    nn.Linear(width, setting["hidden"]), nn.ReLU(), nn.Dropout(setting["dropout"]),
                    nn.Linear(setting["hidden"], outputs),
                )  # fmt: skip

            how = Fitting(
                make=make, feeder=vectors(standard), schedule=self.schedule, metric=metric, seed=seed
            )
            return how.fit(train, validation)

        grid = {"hidden": self.hidden, "dropout": self.dropout}
        search = Search(probe="mlp", metric=metric, seed=seed, grid=grid, notes=standard.notes)
        return choose(search, fit, validation)
