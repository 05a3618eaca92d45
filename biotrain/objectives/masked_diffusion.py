"""Masked diffusion: tokens vanish one by one into `<mask>`, and are predicted back (MDLM, arXiv:2406.07524).

With a log-linear schedule a token is hidden at time t with probability t. The negative log-likelihood of a
sequence x of n tokens that can be hidden is at most (eq. 10 of MDLM, in continuous time)

    integral over t from 0 to 1 of  1/t  E[ sum over hidden i of -log p(x_i | x with the hidden ones masked) ]

in nats. The model never predicts a special token and keeps what is not hidden (SUBS, section 3.2.3), so only
hidden places count. Special tokens are never hidden: the length is given.

Shapes: B rows, T tokens, N hidden tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.tokenizers.special import MASK, SPECIAL_TOKENS
from biotrain.diffusion.subs import without_special
from biotrain.diffusion.times import stratified
from biotrain.objectives import IGNORE, Batch, Predict, Prepared, Sums, Term
from biotrain.objectives.config import ObjectiveConfig
from biotrain.objectives.prediction import Prediction

FIRST_ORDINARY = len(SPECIAL_TOKENS)

EARLIEST = 1e-3
"""Least time of independent draws, as in MDLM's code; below it a rare token would weigh thousands."""


@dataclass(frozen=True, slots=True)
class MaskedDiffusion(Prediction):
    """The training loss is the bound in nats per token that can be hidden; cross-entropy is logged beside.

    `count` hides just k = ceil(t n) tokens, any k of them alike, with weight n / k. Given k hidden ones,
    independent draws hide any k alike too, and the integral over t of (1/t) Binomial(k; n, t) is 1 / k: so
    the mean over k = 1..n of (n / k) x (sum over k hidden tokens) is the integral, exactly, without the draw
    of k at each t and without weights of 1/t near 0. `independent` hides each with probability t, as MDLM
    does.

    Attributes:
        draw: `count` or `independent`.
    """

    draw: str = "count"
    terms = MappingProxyType({"bound": Term(per="counted")})

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """See `Objective.prepare`; by token, `weight` of its cross-entropy and whether it is `counted`.

        >>> ids = torch.tensor([[1, 7, 8, 2, 0]])
        >>> made = MaskedDiffusion().prepare(ids, ids != 0, torch.Generator().manual_seed(1))
        >>> made.inputs.tolist(), made.targets.tolist(), made.by_token["weight"][0, 1].item()
        ([[1, 4, 4, 2, 0]], [[-100, 7, 8, -100, -100]], 1.0)
        """
        able = mask & (ids >= FIRST_ORDINARY)
        times = stratified(len(ids), generator)[:, None]
        score = torch.rand(ids.shape, generator=generator)
        if self.draw == "count":
            number = able.sum(1, keepdim=True)
            hidden_number = (times * number).ceil().clamp(min=1)
            place = score.masked_fill(~able, 2.0).argsort(dim=1, stable=True).argsort(dim=1)
            hidden, weight = able & (place < hidden_number), number / hidden_number
        else:
            times = EARLIEST + (1 - EARLIEST) * times
            hidden, weight = able & (score < times), 1 / times
        more = {"weight": weight.float().expand(ids.shape), "counted": able}
        return Prepared(ids.masked_fill(hidden, MASK), ids.masked_fill(~hidden, IGNORE), by_token=more)

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """See `Objective.losses`; the configured loss is cross-entropy, the only one that gives a bound."""
        logits = predict(batch.inputs, rows=batch.rows).float()
        told = F.cross_entropy(without_special(logits), batch.targets, reduction="none")
        total = (told * batch.by_token["weight"][batch.rows]).sum()
        plain = F.cross_entropy(logits.detach(), batch.targets, reduction="sum")
        return Sums(total[None], plain)


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> MaskedDiffusion:
    """The same for every vocabulary."""
    return MaskedDiffusion(config.draw)
