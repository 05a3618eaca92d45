"""What bioeval needs of a model, a probe and a baseline, in numpy terms.

Anything with these attributes will do (structural typing); bioeval never imports biotrain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Embedder(Protocol):
    """Makes one vector of a sequence.

    Attributes:
        name: for people and result files.
        key: hash of everything that the vectors depend on except the sequence (weights, tokenizer, layer,
            pooling, precision); equal keys promise equal vectors, so it keys the cache.
    """

    name: str
    key: str

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`, row i for sequence i, whatever the other sequences are."""
        ...


@runtime_checkable
class HasTwin(Protocol):
    """An embedder that can make its own random-init twin: same shape and tokenizer, untrained weights."""

    def twin(self, *, seed: int) -> Embedder:
        """The twin, its weights drawn with `seed`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The features and targets of one split.

    Attributes:
        x: float `[n, d]`.
        y: float64 `[n]`.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A probe after fitting: what it predicts for other rows, and how it was chosen.

    Attributes:
        validation: score on the validation rows of the chosen setting.
        settings: the chosen hyper-parameters and everything else worth storing.
        weights: float64 `[d]`, for `predict`; zero for columns that are constant in train.
        offset: prediction for a row of zeros.
    """

    validation: float
    settings: Mapping[str, Any]
    weights: np.ndarray
    offset: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """float64 `[n]`."""
        return np.asarray(x, dtype=np.float64) @ self.weights + self.offset


class Probe(Protocol):
    """A small model on frozen embeddings. It never sees test rows while it is fitted and chosen."""

    def fit(self, train: Part, validation: Part, *, metric: str) -> Fitted:
        """Fits on train, chooses hyper-parameters by `metric` on validation.

        Args:
            train: rows that weights are fitted to.
            validation: rows that hyper-parameters are chosen on.
            metric: a name of `bioeval.scores.SCORES`.
        """
        ...
