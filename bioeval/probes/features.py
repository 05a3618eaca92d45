"""Features as probes on vectors take them: standardised with the train rows, constant columns left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.errors import DataError


@dataclass(frozen=True, slots=True)
class Standard:
    """Mean and spread of the columns that vary in train.

    Attributes:
        mean: `[kept]`.
        scale: `[kept]`, standard deviation.
        kept: bool `[d]`.
    """

    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Standard:
        """From train features `[n, d]`.

        Raises:
            DataError: no column varies.
        """
        mean, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
        # A column whose spread is rounding error of its mean is constant.
        kept = scale > 1e-7 * np.maximum(np.abs(mean), 1e-3)
        if not kept.any():
            hint = "of a model, another layer or pooling may tell rows apart"
            raise DataError(f"all {x.shape[1]} features are constant over the train rows", hint=hint)
        return cls(mean[kept], scale[kept], kept)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float64 `[n, kept]`, train columns of mean 0 and variance 1."""
        return (x[:, self.kept] - self.mean) / self.scale

    @property
    def notes(self) -> dict[str, int]:
        """For the result file."""
        return {"features": len(self.kept), "features_varying": int(self.kept.sum())}
