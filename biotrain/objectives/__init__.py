"""Pretraining objectives. The catalog and the config need no torch; `build_objective` does.

An objective is asked twice in a step: `prepare` says, for all rows at once, what the model reads and what it
has to predict; `losses` computes sums for one micro-batch of them (`biotrain.step`). Most inherit the second
from `biotrain.objectives.prediction.Prediction`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from biotrain.objectives.config import OBJECTIVES, ObjectiveConfig, check_compatible

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["IGNORE", "OBJECTIVES", "Batch", "Objective", "ObjectiveConfig", "Predict", "Prepared", "Sums",
           "Term", "build_objective", "check_compatible"]  # fmt: skip

IGNORE = -100
"""Target of a position that is not predicted; torch's own `ignore_index`."""

Predict = Callable[..., Any]
"""`predict(inputs, **options)`: the model in the run's precision, on the batch's rows."""


class Prepared(NamedTuple):
    """The rows of a step, before they are cut into micro-batches.

    Attributes:
        inputs: [B, T] ids the model reads.
        targets: [B, T] tokens to predict, `IGNORE` where nothing is.
        mask: [B, T], True at real tokens, where an objective changes the rows' lengths; `None` = as it was.
        by_token: [B, T, ...] whatever else goes with tokens, cut as the inputs are.
        by_row: [B, ...] whatever goes with whole rows.
        documents: [B, T] numbers of the windows packed into a row (`biotrain.packed`); of no concern to an
            objective, which is given windows one by one.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    by_token: Mapping[str, Tensor] = {}
    by_row: Mapping[str, Tensor] = {}
    documents: Tensor | None = None


class Batch(NamedTuple):
    """A micro-batch on the device.

    Attributes:
        inputs: [B, T] ids the model reads.
        mask: [B, T], True at real tokens; `None` when there is no padding.
        rows: [B, T], True where a token is predicted.
        targets: [N] the tokens to predict there, in reading order.
        by_token: see `Prepared`, as `by_row`.
        by_row: as above.
        documents: [B, T] numbers of the sequences packed into a row; `None` = one a row.
    """

    inputs: Tensor
    mask: Tensor | None
    rows: Tensor
    targets: Tensor
    by_token: Mapping[str, Tensor] = {}
    by_row: Mapping[str, Tensor] = {}
    documents: Tensor | None = None

    def targets_of_sequences(self) -> Tensor:
        """Number of predicted tokens of each sequence, in reading order; packed ones without any left out."""
        if self.documents is None:
            return self.rows.sum(1)
        first = self.documents.new_ones(len(self.rows)).cumsum(0)[:, None] * (int(self.documents.max()) + 1)
        return (self.documents + first)[self.rows].unique_consecutive(return_counts=True)[1]


class Term(NamedTuple):
    """A part of the training loss.

    Attributes:
        per: what it is a mean of, over the whole step: predicted tokens, real tokens, rows, or the tokens
            marked in `Prepared.by_token["counted"]`.
        weight: factor in the training loss.
    """

    per: Literal["targets", "tokens", "rows", "counted"] = "targets"
    weight: float = 1.0


class Sums(NamedTuple):
    """What an objective finds in a micro-batch; sums, so that micro-batches add up to a step.

    Attributes:
        losses: [K] of the terms, in their order, each summed over what it is a mean of; with graph.
        xe: plain cross-entropy summed over the targets, nats, without graph; `None` when tokens are not
            what is predicted.
        notes: [M] further sums for `Objective.report`, without graph; `None` = nothing.
    """

    losses: Tensor
    xe: Tensor | None
    notes: Tensor | None = None


class Objective(Protocol):
    """What a model has to learn.

    Attributes:
        causal: whether it suits models that see only the past.
        terms: of the training loss by name; with more than one, each is logged as `<name>_loss`, unweighted.
        room: tokens that `prepare` may add to a row, left free by the loader.
        predicts_tokens: whether cross-entropy means something; without it steps are weighed by their rows.
        needs: ids of which one must occur in the training data.
    """

    @property
    def causal(self) -> bool: ...
    @property
    def terms(self) -> Mapping[str, Term]: ...
    @property
    def room(self) -> int: ...
    @property
    def predicts_tokens(self) -> bool: ...
    @property
    def needs(self) -> tuple[int, ...]: ...

    def attach(self, model: nn.Module) -> None:
        """Called once with the model in training, for objectives that use it in `prepare`."""

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """What the model reads and predicts. All random numbers, also those of `losses`, are drawn here for
        the whole step and handed on, so that neither the size nor the order of micro-batches matters.

        Args:
            ids: rows `[B, T]`, on the CPU.
            mask: `[B, T]`, True = real token.
            generator: of every random choice, also of those that `losses` needs.
        """
        ...

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """Sums over a micro-batch.

        Args:
            predict: the model, called as `predict(inputs)`.
            loss: the configured loss's mean, `loss(logits [N, V], targets [N])`.
            batch: a micro-batch of what was prepared.
        """
        ...

    def report(self, notes: Tensor) -> dict[str, Tensor]:
        """Scalars for the log from the notes of a whole step, or of a whole validation."""
        ...


def build_objective(config: ObjectiveConfig, *, vocab_size: int, tokens: Sequence[str] = ()) -> Objective:
    """An objective for a vocabulary.

    Args:
        config: which one.
        vocab_size: number of tokens, special ones included.
        tokens: these by id, for objectives that look for tokens of their own.

    >>> build_objective(ObjectiveConfig(name="clm"), vocab_size=70).causal
    True
    """
    return OBJECTIVES.load(config.name)(config, vocab_size, tokens)
