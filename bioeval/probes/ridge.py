"""Ridge regression on standardised features; the whole grid from one eigendecomposition.

With Z the standardised train features (n rows, d columns that vary in train) and y centred, the weights are
w = (Z'Z + alpha I)^-1 Z'y (Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634, equation 2.1). For
Z'Z = V diag(s) V' this is V diag(1/(s + alpha)) V'Z'y for every alpha at once; where d > n the n by n matrix
ZZ' gives the same w as Z'U diag(1/(s + alpha)) U'y.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from biodata.errors import DataError
from bioeval.protocols import Fitted, Part
from bioeval.scores import LEAST_ROWS, LOWER_IS_BETTER, score

GRID: tuple[float, ...] = tuple(float(f"{10 ** (k / 2):.6g}") for k in range(-4, 13))


class _Spectrum(NamedTuple):
    basis: np.ndarray  # [d, r]
    values: np.ndarray  # [r], eigenvalues, descending order not needed
    target: np.ndarray  # [r], the target along each basis vector
    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray
    centre: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Ridge whose penalty is chosen on the validation rows alone; the fit uses the train rows alone.

    Attributes:
        alphas: penalties tried, in units of the summed squares of a standardised column; each > 0. Of
            penalties with equal validation scores the largest is taken.
    """

    alphas: tuple[float, ...] = field(default=GRID)

    def fit(self, train: Part, validation: Part, *, metric: str) -> Fitted:
        """Fits every penalty on train and takes the best by `metric` on validation.

        Raises:
            DataError: too few rows, a constant target, or no feature that varies.
        """
        _check(train, validation)
        spectrum = _decompose(train)
        x = validation.x.astype(np.float64)
        fits = [_weights(spectrum, alpha) for alpha in self.alphas]
        scores = [score(metric, validation.y, x @ weights + offset) for weights, offset in fits]
        best = _best(scores, lower=metric in LOWER_IS_BETTER)
        weights, offset = fits[best]
        settings = {
            "probe": "ridge", "alpha": self.alphas[best], "alphas": [self.alphas[0], self.alphas[-1]],
            "alphas_tried": len(self.alphas), "alpha_at_edge": best in (0, len(self.alphas) - 1),
            "chosen_on": "validation", "fitted_on": "train", "features": len(train.x[0]),
            "features_varying": int(spectrum.kept.sum()),
        }  # fmt: skip
        return Fitted(validation=scores[best], settings=settings, weights=weights, offset=offset)


def _check(train: Part, validation: Part) -> None:
    for name, part in (("train", train), ("validation", validation)):
        if len(part.y) < LEAST_ROWS:
            raise DataError(f"{len(part.y)} {name} rows, at least {LEAST_ROWS} are needed")
        if np.ptp(part.y) == 0:
            raise DataError(f"all {len(part.y)} {name} targets are {part.y[0]:g}: nothing to predict")


def _decompose(train: Part) -> _Spectrum:
    x = train.x.astype(np.float64)
    mean, scale = x.mean(0), x.std(0)
    # A column whose spread is rounding error of its mean is constant.
    kept = scale > 1e-7 * np.maximum(np.abs(mean), 1e-3)
    if not kept.any():
        raise DataError(f"all {x.shape[1]} features are constant over the train rows")
    z = (x[:, kept] - mean[kept]) / scale[kept]
    centre = float(train.y.mean())
    y = train.y - centre
    wide = z.shape[1] > len(z)
    values, vectors = np.linalg.eigh(z @ z.T if wide else z.T @ z)
    rank = values > values[-1] * 1e-12
    values, vectors = values[rank], vectors[:, rank]
    basis = z.T @ vectors if wide else vectors
    target = vectors.T @ y if wide else vectors.T @ (z.T @ y)
    return _Spectrum(basis, values, target, mean[kept], scale[kept], kept, centre)


def _weights(spectrum: _Spectrum, alpha: float) -> tuple[np.ndarray, float]:
    inner = spectrum.basis @ (spectrum.target / (spectrum.values + alpha)) / spectrum.scale
    weights = np.zeros(len(spectrum.kept))
    weights[spectrum.kept] = inner
    return weights, spectrum.centre - float(spectrum.mean @ inner)


def _best(scores: list[float], *, lower: bool) -> int:
    signed = [-np.inf if np.isnan(s) else (-s if lower else s) for s in scores]
    return max(range(len(scores)), key=lambda i: (signed[i], i))
