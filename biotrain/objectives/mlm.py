"""Masked language modelling (BERT, arXiv:1810.04805; HELM's form masks always, without 80/10/10)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from biodata.tokenizers.special import MASK, SPECIAL_TOKENS
from biotrain.objectives import IGNORE
from biotrain.objectives.config import ObjectiveConfig

FIRST_ORDINARY = len(SPECIAL_TOKENS)


@dataclass(frozen=True, slots=True)
class MaskedLM:
    """Chosen tokens are hidden and predicted.

    Each non-special token is chosen independently with probability `mask_rate`; a sequence in which none
    was chosen gets the token that came nearest, so that every sequence teaches something.

    Attributes:
        mask_rate: share of the non-special tokens that is predicted.
        masked_share: share of those that the model reads as `<mask>`.
        random_share: share that it reads as a token drawn from the non-special ones; the rest stays.
        vocab_size: number of tokens, special ones included.
    """

    mask_rate: float
    masked_share: float
    random_share: float
    vocab_size: int
    causal = False

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Objective.prepare`; draws the same numbers whatever the shares.

        >>> ids = torch.tensor([[1, 7, 8, 2, 0]])
        >>> objective = MaskedLM(1.0, 1.0, 0.0, 16)
        >>> [x.tolist() for x in objective.prepare(ids, ids != 0, torch.Generator())]
        [[[1, 4, 4, 2, 0]], [[-100, 7, 8, -100, -100]]]
        """
        ordinary = mask & (ids >= FIRST_ORDINARY)
        score = torch.rand(ids.shape, generator=generator).to(ids.device).masked_fill(~ordinary, 2.0)
        threshold = score.amin(1, keepdim=True).clamp(min=self.mask_rate)
        chosen = ordinary & ((score < self.mask_rate) | (score == threshold))
        fate = torch.rand(ids.shape, generator=generator).to(ids.device)
        drawn = torch.randint(FIRST_ORDINARY, self.vocab_size, ids.shape, generator=generator)
        inputs = ids.masked_fill(chosen & (fate < self.masked_share), MASK)
        randomly = chosen & (fate >= self.masked_share) & (fate < self.masked_share + self.random_share)
        inputs = torch.where(randomly, drawn.to(ids), inputs)
        return inputs, ids.masked_fill(~chosen, IGNORE)


def build(config: ObjectiveConfig, vocab_size: int) -> MaskedLM:
    """The objective with the configured rates."""
    return MaskedLM(config.mask_rate, config.masked_share, config.random_share, vocab_size)
