"""Sequences from a description: `<text>...</text><dna>...</dna>` read causally, the loss on the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biodata.errors import ConfigError
from biodata.tokenizers.joint import BOUNDARIES, DNA_MARK, PROTEIN_MARK
from biodata.tokenizers.special import EOS, UNK
from biotrain.objectives import IGNORE, Batch, Predict, Prepared, Sums
from biotrain.objectives.clm import next_tokens
from biotrain.objectives.config import ObjectiveConfig
from biotrain.objectives.prediction import Prediction

_CLOSING, _MARKS = ("</dna>", "</protein>"), (DNA_MARK, PROTEIN_MARK)


@dataclass(frozen=True, slots=True, eq=False)
class TextToSequence(Prediction):
    """Letters of sequences, what closes a sequence, `<eos>` and `<unk>` are the sequence; all else is text.

    Attributes:
        sequence: [V], True at tokens of the sequence.
        text_weight: of a token of text beside one of the sequence; 0 = text is read and not predicted.
        needs: ids of which one must occur in the data.
    """

    sequence: Tensor
    text_weight: float
    needs: tuple[int, ...]
    causal: ClassVar[bool] = True

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """See `Objective.prepare`; draws nothing."""
        targets = next_tokens(ids, mask)
        if not self.text_weight:
            targets = targets.masked_fill(~self.sequence[targets.clamp(min=0)], IGNORE)
        return Prepared(ids, targets)

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """The loss over both kinds of targets, and cross-entropy of each kind for the log."""
        logits = predict(batch.inputs, rows=batch.rows).float()
        kinds = self.sequence.to(logits.device)[batch.targets]
        total, notes = logits.new_zeros(()), []
        for chosen, weight in ((kinds, 1.0), (~kinds, self.text_weight)):
            found, wanted = logits[chosen], batch.targets[chosen]
            if len(wanted):
                total = total + weight * len(wanted) * loss(found, wanted)
            notes += [F.cross_entropy(found.detach(), wanted, reduction="sum"), len(wanted)]
        sums = torch.stack([torch.as_tensor(note, device=logits.device).double() for note in notes])
        return Sums(total[None], sums[0] + sums[2], sums)

    def report(self, notes: Tensor) -> dict[str, Tensor]:
        """`sequence_xe`, and `text_xe` where text is predicted, nats per token of the kind."""
        found = {"sequence_xe": notes[0] / notes[1].clamp(min=1)}
        return found | ({"text_xe": notes[2] / notes[3].clamp(min=1)} if self.text_weight else {})


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> TextToSequence:
    """The objective for a joint vocabulary.

    Raises:
        ConfigError: another vocabulary.
    """
    if not set(BOUNDARIES) <= set(tokens):
        raise ConfigError(
            "objective 'text_to_sequence' needs a tokenizer of text and sequences, this one has no <text>: "
            "make one of kind 'joint'"
        )
    sequence = [i in (EOS, UNK) or token in _CLOSING or token[0] in _MARKS for i, token in enumerate(tokens)]
    return TextToSequence(torch.tensor(sequence), config.text_weight, (tokens.index("<text>"),))
