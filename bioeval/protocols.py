"""What bioeval needs of a model, a probe and a baseline, in numpy terms.

Anything with these attributes will do (structural typing); bioeval never imports biotrain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

KINDS = (
    "regression", "classification", "multi-label", "token", "pairs", "zero-shot", "retrieval",
    "clustering", "contacts",
)  # fmt: skip
"""Kinds of tasks: what is asked of a model."""


@runtime_checkable
class Embedder(Protocol):
    """Makes one vector of a sequence.

    Attributes:
        name: for people and result files.
        key: hash of everything that the vectors depend on except the sequence (weights, tokenizer, layer,
            pooling, precision); equal keys promise equal vectors, so it keys the cache.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`, row i for sequence i, whatever the other sequences are."""
        ...


@runtime_checkable
class HasTwin(Protocol):
    """An embedder that can make its own random-init twin: same shape and tokenizer, untrained weights."""

    def twin(self, *, seed: int) -> Embedder:
        """The twin, its weights drawn with `seed`."""
        ...


@runtime_checkable
class HasTokens(Protocol):
    """An embedder that can also give a vector for each position of a sequence."""

    def embed_tokens(self, sequences: Sequence[str], *, width: int) -> list[np.ndarray]:
        """One float32 `[t, d]` for each sequence.

        Args:
            sequences: as for `embed`.
            width: letters of a position (1, or 3 for codons): t is then ceil(length / width) and a position
                has the mean of the tokens that cover it. 0: one row for each token.
        """
        ...


@runtime_checkable
class HasAttention(Protocol):
    """An embedder that can say which positions of a sequence attend to which."""

    def attention(self, sequence: str, *, width: int) -> np.ndarray:
        """float32 `[maps, t, t]`, one map for every head of every layer; row i is what position i looks at.

        Args:
            sequence: as for `embed`.
            width: letters of a position (1, or 3 for codons): t is then ceil(length / width); special tokens
                have no row and no column.

        Raises:
            ConfigError: there are no attention weights, or tokens are no positions.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceScores:
    """What a scorer says of sequences; higher is more natural.

    Attributes:
        total: float64 `[n]`, nats.
        n_tokens: int64 `[n]`, tokens that `total` is a sum over.
        error: float64 `[n]`, standard error of `total` where it is an estimate, else 0.

    >>> SequenceScores(total=np.array([-6.0]), n_tokens=np.array([3]), error=np.zeros(1)).per_token
    array([-2.])
    """

    total: np.ndarray
    n_tokens: np.ndarray
    error: np.ndarray

    @property
    def per_token(self) -> np.ndarray:
        """float64 `[n]`, nats a token; NaN for a sequence without a token that could be scored."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.n_tokens


@runtime_checkable
class Scorer(Protocol):
    """Says how natural a sequence is.

    Attributes:
        name: for people and result files.
        key: hash of everything that the scores depend on except the sequence; it keys the cache.
        kind: `log-likelihood`, `pseudo-log-likelihood`, `elbo` or `replaced-token`, or a name of one's own.
    """

    name: str
    key: str
    kind: str

    def score(self, sequences: Sequence[str]) -> SequenceScores:
        """Scores in the order of the sequences, each whatever the other sequences are."""
        ...


@runtime_checkable
class HasMarginals(Protocol):
    """A scorer that can say how likely each token is at a place, seeing all the others."""

    def tokens(self, sequences: Sequence[str]) -> list[list[int]]:
        """Token ids of each sequence, special tokens left out."""
        ...

    def log_probabilities(self, sequence: str, places: Sequence[int], *, hidden: bool) -> np.ndarray:
        """float64 `[places, vocabulary]`, nats.

        Args:
            sequence: what surrounds the places.
            places: numbers of its tokens, from 0.
            hidden: whether each place is masked, by itself, or seen.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a probe may read of the rows of a split; what it does not read is left empty.

    Attributes:
        x: float `[n, d]`, or where `lengths` is given `[sum(lengths), d]`: the positions of all rows, one row
            after the other.
        lengths: int64 `[n]`, positions of each row; `None` where a row is one vector.
        sequences: the rows themselves, for probes that train the model too.
        pairs: whether `lengths` or `sequences` has the first sides of all pairs and then all second sides.
        marked: bool `[sum(lengths)]`, the positions that are asked for where a target belongs to a position;
            `None` where it belongs to a row.
    """

    x: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    lengths: np.ndarray | None = None
    sequences: tuple[str, ...] = ()
    pairs: bool = False
    marked: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """Sequences, or pairs of them."""
        if self.sequences:
            found = len(self.sequences)
        else:
            found = len(self.x) if self.lengths is None else len(self.lengths)
        return found // 2 if self.pairs else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Inputs):
    """The features and targets of one split.

    Attributes:
        y: float64 `[n]` for numbers, int64 `[n]` for classes, float64 `[n, k]` for labels: 1, 0, NaN for what
            was not measured; where positions are `marked`, one for each of these.
        classes: k, where the targets are classes.
    """

    y: np.ndarray
    classes: int = 0

    @property
    def target(self) -> str:
        """`number`, `class` or `labels`."""
        if self.y.ndim == 2:
            return "labels"
        return "number" if self.y.dtype.kind == "f" else "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A probe after fitting: what it predicts for other rows, and how it was chosen.

    Attributes:
        validation: score on the validation rows of the chosen setting.
        settings: the chosen hyper-parameters and everything else worth storing.
        predict: of other rows: float64 `[n]` for numbers, `[n, k]` probabilities for classes and labels.
        cost: parameters trained.
    """

    validation: float
    settings: Mapping[str, Any]
    predict: Callable[[Inputs], np.ndarray]
    cost: int = 0


class Probe(Protocol):
    """A model on what an embedder gives. It never sees test rows while it is fitted and chosen.

    Attributes:
        reads: `vectors` (one of each row), `tokens` (one of each position) or `sequences` (the model itself
            is trained).
        targets: which of `number`, `class` and `labels` it can learn.

    Probes on tokens or sequences say with `positions: bool` whether they can predict single positions.
    """

    reads: ClassVar[Literal["vectors", "tokens", "sequences"]]
    targets: ClassVar[tuple[str, ...]]

    def fit(self, train: Part, validation: Part, *, metric: str, seed: int = 0) -> Fitted:
        """Fits on train, chooses hyper-parameters by `metric` on validation.

        Args:
            train: rows that weights are fitted to.
            validation: rows that hyper-parameters are chosen on.
            metric: a name of `bioeval.scores.SCORES`.
            seed: of everything that is drawn.
        """
        ...
