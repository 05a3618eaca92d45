"""Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300, equations 3 and 4).

A group of sequences is drawn from the model; what a sequence's reward is above its group's mean, in standard
deviations, is the advantage of each of its tokens. With pi the model, pi_old the one that drew the sequences
and pi_ref the start model, ratio = pi / pi_old, the loss is

    - mean over sequences, mean over tokens of
        min(ratio A, clip(ratio, 1 - c, 1 + c) A) - beta (pi_ref / pi - log(pi_ref / pi) - 1)

The last bracket is an unbiased, never negative estimate of KL(pi || pi_ref).

Shapes: N sequences, T places, M drawn tokens of all sequences, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from biodata.tokenizers.special import EOS, PAD
from biotrain.generate import NEVER
from biotrain.layers.routing import Routing

SMALLEST = 1e-8
"""Standard deviation of a group's rewards below which its sequences are equally good."""


def advantages(rewards: Tensor) -> Tensor:
    """(reward - mean) / standard deviation within each group (a row); 0 where all are equal.

    >>> advantages(torch.tensor([[0.0, 2.0], [3.0, 3.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    apart = rewards - rewards.mean(1, keepdim=True)
    spread = rewards.std(1, correction=0, keepdim=True)
    return torch.where(spread > SMALLEST, apart / spread.clamp(min=SMALLEST), 0.0)


class TokenLosses(NamedTuple):
    """Of each drawn token, [M].

    Attributes:
        loss: with graph.
        kl: the estimate of the divergence, without.
    """

    loss: Tensor
    kl: Tensor


def token_losses(
    log_p: Tensor, old: Tensor, reference: Tensor, advantage: Tensor, *, clip: float, kl: float
) -> TokenLosses:
    """The loss of single tokens.

    Args:
        log_p: [M] log-probabilities by the model, with graph.
        old: [M] by the model that drew them.
        reference: [M] by the start model.
        advantage: [M] of the token's sequence.
        clip: c.
        kl: beta.
    """
    ratio = (log_p - old).exp()
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    away = reference - log_p
    divergence = away.exp() - away - 1
    return TokenLosses(kl * divergence - gain, divergence.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """Sequences drawn from the model.

    Attributes:
        ids: [N, T], `<pad>` on the right.
        lengths: [N] tokens of each, `<bos>` included.
        given: tokens at the beginning that were not drawn.
    """

    ids: Tensor
    lengths: Tensor
    given: int

    @classmethod
    def of(cls, rows: list[list[int]], *, given: int, device: torch.device) -> Rollouts:
        """Pads rows of ids.

        Args:
            rows: each from `<bos>` on.
            given: tokens at the beginning that were not drawn.
            device: where the tensors are to be.
        """
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.full((len(rows), int(lengths.max())), PAD)
        for row, tokens in zip(ids, rows):
            row[: len(tokens)] = torch.tensor(tokens)
        return cls(ids=ids.to(device), lengths=lengths.to(device), given=given)

    def take(self, part: slice) -> Rollouts:
        """Some of the sequences, cut to the longest of them."""
        lengths = self.lengths[part]
        return Rollouts(ids=self.ids[part, : int(lengths.max())], lengths=lengths, given=self.given)

    @property
    def drawn(self) -> Tensor:
        """[N, T - 1], True where the next token was drawn."""
        places = torch.arange(1, self.ids.shape[1], device=self.ids.device)
        return (places >= self.given) & (places < self.lengths[:, None])


def log_probabilities(model: nn.Module, rollouts: Rollouts, routing: Routing | None = None) -> Tensor:
    """[M] of the drawn tokens in reading order, by the distribution that they were drawn from.

    That has no special tokens but `<eos>`, and no `<eos>` at the first place of a sequence.

    Args:
        model: a causal one.
        rollouts: sequences.
        routing: filled with what the routers do, where the model has them.
    """
    drawn = rollouts.drawn
    inputs = rollouts.ids[:, :-1]
    real = torch.arange(1, inputs.shape[1] + 1, device=inputs.device) < rollouts.lengths[:, None]
    options = {} if routing is None else {"routing": routing}
    logits = model(inputs, mask=None if real.all() else real, rows=drawn, **options).float()
    banned = torch.zeros_like(logits, dtype=torch.bool)
    banned[:, NEVER] = True
    if rollouts.given == 1:
        first = torch.zeros_like(drawn)
        first[:, 0] = True
        banned[:, EOS] = first[drawn]
    chosen = rollouts.ids[:, 1:][drawn]
    return logits.masked_fill(banned, -torch.inf).log_softmax(-1).gather(1, chosen[:, None])[:, 0]
