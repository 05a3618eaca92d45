"""Replaced-token detection (ELECTRA, arXiv:2003.10555; METRO, arXiv:2204.06644) for a pair of models.

A generator predicts masked tokens. Tokens drawn from what it predicts take the places of the masks, and a
discriminator says for every token whether it is the original one; a right guess counts as original. METRO's
discriminator also says at the masked places which token is the right one; METRO-T0 weighs each of these by
the probability, without a gradient, that it was replaced (its code: `weighted_lm_loss`). Nothing flows back
through the draw. The loss is the generator's, plus 50 times the discriminator's over all real tokens, plus
the corrector's.

Shapes: B rows, T tokens, N masked tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biotrain.objectives import Batch, Predict, Prepared, Sums, Term
from biotrain.objectives.config import ObjectiveConfig
from biotrain.objectives.mlm import MaskedLM
from biotrain.objectives.mlm import build as build_masks
from biotrain.objectives.prediction import Prediction, token_losses
from biotrain.objectives.rtd_config import RtdConfig

BINS = 4096
"""Intervals of discriminator logits from which the area under the curve is computed."""


class ReplacedTokens(Prediction):
    """The losses of a pair of models.

    Logged besides the losses: `generator_accuracy`, how often the generator's likeliest token is the right
    one; `replaced`, the share of real tokens that are not the original; `auc` and `recall` (at a probability
    of 1/2) of the discriminator for these. In a small alphabet the generator is often right, so that little
    is replaced and the discriminator's loss is small whatever it has learned: look at `auc`.

    Args:
        masks: chooses and hides tokens.
        weights: of the losses.
    """

    def __init__(self, masks: MaskedLM, weights: RtdConfig) -> None:
        self.masks, self.weights = masks, weights
        self.terms = {
            "generator": Term("targets", weights.generator_weight),
            "discriminator": Term("tokens", weights.discriminator_weight),
        }

    def attach(self, model: nn.Module) -> None:
        """Sees whether there is a corrector.

        Raises:
            ConfigError: settings of one, and there is none.
        """
        if not getattr(model, "corrects", False):
            if self.weights.corrector_by_doubt:
                raise ConfigError("corrector_by_doubt needs a corrector: take model 'metro'")
        else:
            self.terms = {**self.terms, "corrector": Term("targets", self.weights.corrector_weight)}

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """Masks as in `mlm`, and a number in [0, 1) for each token from which the generator's is drawn."""
        inputs, targets = self.masks.prepare(ids, mask, generator)[:2]
        return Prepared(inputs, targets, by_token={"noise": torch.rand(ids.shape, generator=generator)})

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """Of generator, discriminator and, if there is one, corrector."""
        found = predict(batch.inputs, rows=batch.rows, noise=batch.by_token["noise"][batch.rows])
        real = torch.ones_like(batch.rows) if batch.mask is None else batch.mask
        is_replaced = torch.zeros_like(batch.rows)
        is_replaced[batch.rows] = found.drawn != batch.targets
        verdicts = found.verdicts.float()
        logits = found.generated.float()
        generated, xe = logits.sum(), logits.new_zeros(())  # of rows without a masked token
        if len(batch.targets):
            generated, xe = token_losses(loss, logits, batch)
        judged = F.binary_cross_entropy_with_logits(
            verdicts[real], is_replaced[real].float(), reduction="sum"
        )
        losses = [generated, judged]
        if found.corrected is not None:
            each = F.cross_entropy(found.corrected.float(), batch.targets, reduction="none")
            if self.weights.corrector_by_doubt:
                each = each * verdicts[batch.rows].detach().sigmoid()
            losses.append(each.sum())
        right = (logits.argmax(-1) == batch.targets).sum()
        counts = torch.stack((right, right.new_tensor(len(batch.targets)))).float()
        notes = torch.cat((counts, histogram(verdicts.detach()[real], is_replaced[real])))
        return Sums(torch.stack(losses), xe, notes)

    def report(self, notes: Tensor) -> dict[str, Tensor]:
        """See the class; without a replaced token, `auc` is 1/2 and `recall` 0."""
        right, masked = notes[:2]
        original, replaced = notes[2:].view(2, BINS)
        found = replaced[BINS // 2 :].sum()
        return {
            "generator_accuracy": right / masked.clamp(min=1),
            "replaced": replaced.sum() / notes[2:].sum().clamp(min=1),
            "auc": area_under_curve(original, replaced),
            "recall": found / replaced.sum().clamp(min=1),
        }


def histogram(logits: Tensor, is_replaced: Tensor) -> Tensor:
    """How many logits fall into each of `BINS` intervals of x / (1 + |x|), originals first: [2 BINS].

    Logits of 0 and more, probabilities of 1/2 and more, fall into the upper half.
    """
    place = ((logits / (1 + logits.abs()) + 1) * (BINS / 2)).long().clamp(0, BINS - 1)
    counts = torch.zeros(2 * BINS, device=logits.device)
    return counts.index_add_(0, place + BINS * is_replaced, torch.ones_like(logits))


def area_under_curve(negative: Tensor, positive: Tensor) -> Tensor:
    """Probability that a positive stands in a higher interval than a negative, ties counting half.

    Args:
        negative: counts by interval, upwards.
        positive: the same.

    >>> area_under_curve(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])).item()
    0.625
    """
    below = negative.cumsum(0) - negative / 2
    pairs = negative.sum() * positive.sum()
    return torch.where(pairs > 0, (below * positive).sum() / pairs.clamp(min=1), 0.5)


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> ReplacedTokens:
    """The objective with the configured masks and weights."""
    assert config.rtd is not None
    return ReplacedTokens(build_masks(config, vocab_size, tokens), config.rtd)
