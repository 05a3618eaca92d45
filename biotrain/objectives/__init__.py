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
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    by_token: Mapping[str, Tensor] = {}
    by_row: Mapping[str, Tensor] = {}


class Batch(NamedTuple):
    """A micro-batch on the device.

    Attributes:
        inputs: [B, T] ids the model reads.
        mask: [B, T], True at real tokens; `None` when there is no padding.
        rows: [B, T], True where a token is predicted.
        targets: [N] the tokens to predict there, in reading order.
        by_token: see `Prepared`, as `by_row`.
        by_row: as above.
    """

    inputs: Tensor
    mask: Tensor | None
    rows: Tensor
    targets: Tensor
    by_token: Mapping[str, Tensor] = {}
    by_row: Mapping[str, Tensor] = {}


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
    """

    @property
    def causal(self) -> bool: ...
    @property
    def terms(self) -> Mapping[str, Term]: ...
    @property
    def room(self) -> int: ...
    @property
    def predicts_tokens(self) -> bool: ...

    def attach(self, model: nn.Module) -> None:
        """Called once with the model in training, for objectives that use it in `prepare`."""

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """Rows `ids` [B, T] with `mask` [B, T] (True = real token), on the CPU. Every random choice comes
        from `generator`, also those of `losses`: drawn here for the whole step and handed on, so that
        neither the size nor the order of micro-batches matters."""
        ...

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """Sums over a micro-batch; `loss(logits [N, V], targets [N])` is the configured loss's mean."""
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
