"""What routers did in a forward pass, and the two losses that keep them useful.

Shapes: L layers with experts, E experts, k of them per token, T real tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Routing:
    """Sums over the real tokens of a forward pass, layer by layer.

    Attributes:
        counts: [E] per layer, times that each expert was chosen.
        probabilities: [E] per layer, sums of the softmax over all experts, with its graph.
        squares: scalars per layer, sums of logsumexp(logits)^2, with its graph.
        tokens: T.
    """

    def __init__(self) -> None:
        self.counts: list[Tensor] = []
        self.probabilities: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.tokens: Tensor = torch.zeros(())

    def add(self, logits: Tensor, chosen: Tensor, real: Tensor | None) -> None:
        """Adds a layer.

        Args:
            logits: [N, E] float32 of all tokens.
            chosen: [N, k] experts taken.
            real: [N] True at real tokens; `None` = all.
        """
        weight = logits.new_ones(len(logits)) if real is None else real.to(logits.dtype)
        counts = logits.new_zeros(logits.shape[1])
        counts.scatter_add_(0, chosen.flatten(), weight.repeat_interleave(chosen.shape[1]))
        self.counts.append(counts)
        self.probabilities.append(weight @ logits.softmax(-1))
        self.squares.append(weight @ logits.logsumexp(-1).square())
        self.tokens = weight.sum()


def router_losses(routing: Routing, *, counts: Tensor, tokens: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Load-balance and z loss, each summed over layers, without their coefficients (see `MoEConfig`).

    A forward pass over a part of a micro-batch gives its share: the sum over the parts is the loss of the
    whole, since `counts` and `tokens`, through which no gradient flows, are those of the whole.

    Args:
        routing: of the part.
        counts: [L, E] of the whole micro-batch.
        tokens: its real tokens.
        top_k: k.
    """
    probabilities = torch.stack(routing.probabilities)
    experts = probabilities.shape[1]
    balance = (probabilities * counts).sum() * experts / (top_k * tokens * tokens)
    return balance, torch.stack(routing.squares).sum() / tokens


def load_extremes(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Load of the busiest and of the idlest expert of any layer, 1 being an even share.

    >>> load_extremes(torch.tensor([[4.0, 4.0], [6.0, 2.0]]))
    (tensor(1.5000), tensor(0.5000))
    """
    load = counts / counts.mean(-1, keepdim=True)
    return load.max(), load.min()
