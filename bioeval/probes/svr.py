"""Support vector regression with a Gaussian kernel (scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from biodata.errors import DataError
from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.sklearn_fit import Estimator, fit_estimator
from bioeval.protocols import Fitted, Part

MOST_ROWS = 20_000  # the kernel is n by n


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportVectors:
    """Gaussian-kernel regression of the standardised target.

    Attributes:
        c: inverse penalties tried, rising, each > 0.
        epsilon: half-widths of the tube without loss, in standard deviations of the target.
        scaling: whether columns are standardised first; zeros and ones (`one-hot`) are better left alone.
    """

    reads: ClassVar[Literal["vectors"]] = "vectors"
    targets: ClassVar[tuple[str, ...]] = ("number",)
    c: tuple[float, ...] = (0.1, 1.0, 10.0)
    epsilon: tuple[float, ...] = (0.1,)
    scaling: tuple[bool, ...] = (True, False)

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits every setting on train and takes the best by `metric` on validation; nothing is drawn.

        Raises:
            DataError: too few or more than 20,000 rows, a constant target, or no feature that varies.
        """
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR

        check_parts(train, validation)
        if len(train.y) > MOST_ROWS:
            raise DataError(f"{len(train.y)} train rows, svr takes at most {MOST_ROWS} (ridge takes any)")
        standard = Standard.of(train.x)
        plain = Standard(np.zeros(len(standard.mean)), np.ones(len(standard.mean)), standard.kept)

        def fit(setting: Setting) -> Estimator:
            def make() -> TransformedTargetRegressor:
                inner = SVR(C=setting["c"], epsilon=setting["epsilon"], cache_size=500)
                return TransformedTargetRegressor(inner, transformer=StandardScaler())

            return fit_estimator(make, train, standard=standard if setting["scaled"] else plain)

        grid = {"c": self.c, "epsilon": self.epsilon, "scaled": self.scaling}
        search = Search(probe="svr", metric=metric, seed=seed, grid=grid, notes=standard.notes)
        return choose(search, fit, validation)
