"""Ridge regression on standardised features; the whole grid from one eigendecomposition.

With Z the standardised train features (n rows, d columns that vary in train) and y centred, the weights are
w = (Z'Z + alpha I)^-1 Z'y (Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634, equation 2.1). For
Z'Z = V diag(s) V' this is V diag(1/(s + alpha)) V'Z'y for every alpha at once; where d > n the n by n matrix
ZZ' gives the same w as Z'U diag(1/(s + alpha)) U'y.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from bioeval.probes.choose import Search, Setting, check_parts, choose
from bioeval.probes.features import Standard
from bioeval.protocols import Fitted, Inputs, Part

GRID: tuple[float, ...] = tuple(float(f"{10 ** (k / 2):.6g}") for k in range(-4, 13))


class _Spectrum(NamedTuple):
    basis: np.ndarray  # [d, r]
    values: np.ndarray  # [r], eigenvalues, descending order not needed
    target: np.ndarray  # [r], the target along each basis vector
    standard: Standard
    centre: float


@dataclass(frozen=True, slots=True)
class _Linear:
    weights: np.ndarray  # of standardised columns
    standard: Standard
    centre: float

    def __call__(self, inputs: Inputs) -> np.ndarray:
        return self.standard(inputs.x) @ self.weights + self.centre

    @property
    def parameters(self) -> int:
        return len(self.weights) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Ridge whose penalty is chosen on the validation rows alone; the fit uses the train rows alone.

    Attributes:
        alphas: penalties tried, in units of the summed squares of a standardised column; each > 0. Of
            penalties with equal validation scores the largest is taken.
    """

    reads: ClassVar[Literal["vectors"]] = "vectors"
    targets: ClassVar[tuple[str, ...]] = ("number",)
    alphas: tuple[float, ...] = field(default=GRID)

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits every penalty on train and takes the best by `metric` on validation; nothing is drawn.

        Raises:
            DataError: too few rows, a constant target, or no feature that varies.
        """
        check_parts(train, validation)
        spectrum = _decompose(train)

        def fit(setting: Setting) -> _Linear:
            weights = spectrum.basis @ (spectrum.target / (spectrum.values + setting["alpha"]))
            return _Linear(weights, spectrum.standard, spectrum.centre)

        grid = {"alpha": tuple(sorted(self.alphas, reverse=True))}
        notes = spectrum.standard.notes
        search = Search(probe="ridge", metric=metric, seed=seed, grid=grid, notes=notes)
        return choose(search, fit, validation)


def _decompose(train: Part) -> _Spectrum:
    standard = Standard.of(train.x)
    z = standard(train.x)
    centre = float(train.y.mean())
    y = train.y - centre
    wide = z.shape[1] > len(z)
    values, vectors = np.linalg.eigh(z @ z.T if wide else z.T @ z)
    rank = values > values[-1] * 1e-12
    values, vectors = values[rank], vectors[:, rank]
    basis = z.T @ vectors if wide else vectors
    target = vectors.T @ y if wide else vectors.T @ (z.T @ y)
    return _Spectrum(basis, values, target, standard, centre)
