"""Pretraining objectives. The catalog and the config need no torch; `build_objective` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from biotrain.objectives.config import OBJECTIVES, ObjectiveConfig, check_compatible

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["IGNORE", "OBJECTIVES", "Objective", "ObjectiveConfig", "build_objective", "check_compatible"]

IGNORE = -100
"""Target of a position that is not predicted; torch's own `ignore_index`."""


class Objective(Protocol):
    """Turns a batch of token ids into what the model reads and what it has to predict."""

    causal: bool

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`ids` [B, T] and `mask` [B, T] (True = real token) to inputs and targets [B, T], `IGNORE` where
        nothing is predicted. Every random choice comes from `generator`."""
        ...


def build_objective(config: ObjectiveConfig, *, vocab_size: int) -> Objective:
    """An objective for a vocabulary of this size (special tokens included).

    >>> build_objective(ObjectiveConfig(name="clm"), vocab_size=70).causal
    True
    """
    return OBJECTIVES.load(config.name)(config, vocab_size)
