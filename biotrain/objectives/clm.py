"""Causal language modelling: each token is predicted from those before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from biotrain.objectives import IGNORE, Prepared
from biotrain.objectives.config import ObjectiveConfig
from biotrain.objectives.prediction import Prediction


class CausalLM(Prediction):
    """Targets are the ids moved one place to the left.

    Every real token but the first is predicted, `<eos>` included; padding never is (HELM's release counts
    padding in its loss).
    """

    causal = True

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """See `Objective.prepare`; draws nothing.

        >>> ids = torch.tensor([[1, 7, 2, 0]])
        >>> CausalLM().prepare(ids, ids != 0, torch.Generator()).targets.tolist()
        [[7, 2, -100, -100]]
        """
        return Prepared(ids, next_tokens(ids, mask))


def next_tokens(ids: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: the real token after each, `IGNORE` where there is none."""
    targets = torch.full_like(ids, IGNORE)
    targets[:, :-1] = ids[:, 1:].masked_fill(~mask[:, 1:], IGNORE)
    return targets


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> CausalLM:
    """The same for every vocabulary."""
    return CausalLM()
