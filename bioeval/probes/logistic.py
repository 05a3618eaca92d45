"""Logistic regression on standardised features (scikit-learn): classes multinomial, labels one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.sklearn_fit import Estimator, fit_estimator
from bioeval.protocols import Fitted, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """Logistic regression with an L2 penalty.

    Attributes:
        c: inverse penalties tried, each > 0, in rising order.
        iterations: of the solver at most.
    """

    reads: ClassVar[Literal["vectors"]] = "vectors"
    targets: ClassVar[tuple[str, ...]] = ("class", "labels")
    c: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    iterations: int = 200

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits every penalty on train and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, one class, or no feature that varies.
        """
        from sklearn.linear_model import LogisticRegression

        check_parts(train, validation)
        standard = Standard.of(train.x)

        def fit(setting: Setting) -> Estimator:
            return fit_estimator(
                lambda: LogisticRegression(C=setting["c"], max_iter=self.iterations, random_state=seed),
                train, standard=standard,
            )  # fmt: skip

        search = Search(probe="logistic", metric=metric, seed=seed, grid={"c": self.c}, notes=standard.notes)
        return choose(search, fit, validation)
