"""Random forest (Breiman 2001, doi:10.1023/A:1010933404324; scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.probes.sklearn_fit import Estimator, fit_estimator
from bioeval.protocols import Fitted, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomForest:
    """A forest on the features as they are.

    Attributes:
        trees: how many, at least 1.
        leaf: least rows of a leaf that are tried, falling.
        share: shares of the columns looked at for a split that are tried, in (0, 1].
    """

    reads: ClassVar[Literal["vectors"]] = "vectors"
    targets: ClassVar[tuple[str, ...]] = ("number", "class", "labels")
    trees: int = 300
    leaf: tuple[int, ...] = (5, 1)
    share: tuple[float, ...] = (0.1, 0.33)

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Grows a forest for every setting and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, a target that never varies, or no feature that varies.
        """
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        check_parts(train, validation)
        varying = Standard.of(train.x)
        kind = RandomForestRegressor if train.target == "number" else RandomForestClassifier

        def fit(setting: Setting) -> Estimator:
            return fit_estimator(
                lambda: kind(
                    self.trees, min_samples_leaf=setting["leaf"], max_features=setting["share"],
                    random_state=seed, n_jobs=1,
                ),
                train, standard=None,
            )  # fmt: skip

        grid = {"leaf": self.leaf, "share": self.share}
        notes = {"trees": self.trees, **varying.notes}
        search = Search(probe="random-forest", metric=metric, seed=seed, grid=grid, notes=notes)
        return choose(search, fit, validation)
