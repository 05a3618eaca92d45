"""The part that objectives share: tokens are predicted, and a loss over the vocabulary says how well."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.losses.xe import CrossEntropy
from biotrain.objectives import Batch, Predict, Sums, Term


class Prediction:
    """One term, the mean of the configured loss over the predicted tokens."""

    __slots__ = ()

    causal: ClassVar[bool] = False
    terms: Mapping[str, Term] = MappingProxyType({"token": Term()})
    room: ClassVar[int] = 0
    predicts_tokens: ClassVar[bool] = True
    needs: tuple[int, ...] = ()

    def attach(self, model: nn.Module) -> None:
        """Does without the model."""

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """See `Objective.losses`."""
        logits = predict(batch.inputs, rows=batch.rows)
        total, xe = token_losses(loss, logits.float(), batch)
        return Sums(total[None], xe)

    def report(self, notes: Tensor) -> dict[str, Tensor]:
        """Nothing but the losses."""
        return {}


def token_losses(loss: nn.Module, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The configured loss, and plain cross-entropy without gradient, each summed over the batch's targets.

    Args:
        loss: mean over targets; with an attribute `by_sequence` it is also given their number by sequence.
        logits: [N, V] float32.
        batch: N targets, 1 or more.
    """
    counts = (batch.targets_of_sequences(),) if getattr(loss, "by_sequence", False) else ()
    total = loss(logits, batch.targets, *counts) * len(batch.targets)
    if isinstance(loss, CrossEntropy):
        return total, total.detach()
    return total, F.cross_entropy(logits.detach(), batch.targets) * len(batch.targets)
