"""Masked language modelling (BERT, arXiv:1810.04805; HELM's form masks always, without 80/10/10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from biodata.tokenizers.special import MASK, SPECIAL_TOKENS
from biotrain.objectives import IGNORE, Prepared
from biotrain.objectives.config import ObjectiveConfig
from biotrain.objectives.prediction import Prediction

FIRST_ORDINARY = len(SPECIAL_TOKENS)


@dataclass(frozen=True, slots=True)
class MaskedLM(Prediction):
    """Chosen tokens are hidden and predicted.

    A sequence is cut into blocks - of one token (`single`), of two (`double`, beginning at a random one of
    the first two), or of geometric length (`span`: each token begins a block with probability
    1 / span_length, so neighbours that are chosen may join; cf. SpanBERT, arXiv:1907.10529). Each block is
    chosen with probability `mask_rate`, and with it its non-special tokens: whatever the strategy, that is
    each token's chance. A sequence in which none was chosen gets the block that came nearest, so that every
    sequence teaches something.

    Attributes:
        mask_rate: share of the non-special tokens that is predicted.
        masked_share: share of those that the model reads as `<mask>`.
        random_share: share that it reads as a token drawn from the non-special ones; the rest stays.
        vocab_size: number of tokens, special ones included.
        strategy: `single`, `double` or `span`.
        span_length: mean length of a span, tokens.
    """

    mask_rate: float
    masked_share: float
    random_share: float
    vocab_size: int
    strategy: str = "single"
    span_length: float = 3.0

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """See `Objective.prepare`; draws the same numbers whatever the shares.

        >>> ids = torch.tensor([[1, 7, 8, 2, 0]])
        >>> objective = MaskedLM(1.0, 1.0, 0.0, 16)
        >>> [x.tolist() for x in objective.prepare(ids, ids != 0, torch.Generator())[:2]]
        [[[1, 4, 4, 2, 0]], [[-100, 7, 8, -100, -100]]]
        """
        ordinary = mask & (ids >= FIRST_ORDINARY)
        score = torch.rand(ids.shape, generator=generator).to(ids.device)
        if self.strategy != "single":
            # a token has the score of its block's first
            score = score.gather(1, self._block_starts(ids.shape, generator).to(ids.device))
        score = score.masked_fill(~ordinary, 2.0)
        threshold = score.amin(1, keepdim=True).clamp(min=self.mask_rate)
        chosen = ordinary & ((score < self.mask_rate) | (score == threshold))
        fate = torch.rand(ids.shape, generator=generator).to(ids.device)
        drawn = torch.randint(FIRST_ORDINARY, self.vocab_size, ids.shape, generator=generator)
        inputs = ids.masked_fill(chosen & (fate < self.masked_share), MASK)
        randomly = chosen & (fate >= self.masked_share) & (fate < self.masked_share + self.random_share)
        inputs = torch.where(randomly, drawn.to(ids), inputs)
        return Prepared(inputs, ids.masked_fill(~chosen, IGNORE))

    def _block_starts(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """[B, T]: where the block of each position begins."""
        places = torch.arange(shape[1]).expand(shape)
        if self.strategy == "double":
            odd = torch.randint(0, 2, (shape[0], 1), generator=generator)
            return (places - (places + odd) % 2).clamp(min=0)
        begins = torch.rand(shape, generator=generator) < 1 / self.span_length
        return torch.where(begins, places, 0).cummax(1).values


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> MaskedLM:
    """The objective with the configured rates."""
    return MaskedLM(config.mask_rate, config.masked_share, config.random_share, vocab_size,
                    config.masking_strategy, config.span_length)  # fmt: skip
