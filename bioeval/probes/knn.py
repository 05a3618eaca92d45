"""k nearest neighbours: the mean of the k nearest train rows (scikit-learn, exact search)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.sklearn_fit import Estimator, fit_estimator
from bioeval.protocols import Fitted, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Nearest neighbours in standardised features.

    Attributes:
        k: numbers of neighbours tried, falling; those above the number of train rows are left out.
        distances: `cosine` or `euclidean`.
    """

    reads: ClassVar[Literal["vectors"]] = "vectors"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    k: tuple[int, ...] = (51, 25, 11, 5, 3, 1)
    distances: tuple[str, ...] = ("euclidean", "cosine")

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Tries every k and distance on validation; nothing is drawn.

        Raises:
            DataError: too few rows, a target that never varies, or no feature that varies.
        """
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        check_parts(train, validation)
        standard = Standard.of(train.x)
        kind = KNeighborsRegressor if train.target == "number" else KNeighborsClassifier

        def fit(setting: Setting) -> Estimator:
            return fit_estimator(
                lambda: kind(setting["k"], metric=setting["distance"], algorithm="brute"),
                train, standard=standard,
            )  # fmt: skip

        grid = {"k": _possible(self.k, train), "distance": self.distances}
        search = Search(probe="knn", metric=metric, seed=seed, grid=grid, notes=standard.notes)
        return choose(search, fit, validation)


def _possible(sizes: tuple[int, ...], train: Part) -> tuple[int, ...]:
    """Every k that also a label measured in few rows allows."""
    import numpy as np

    rows = len(train.y) if train.y.ndim == 1 else int(np.isfinite(train.y).sum(0).min())
    return tuple(k for k in sizes if k <= rows) or (1,)
