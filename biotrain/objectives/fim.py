"""Fill in the middle (Bavarian et al. 2022, arXiv:2207.14255): a causal model learns what stands between.

A sequence is cut at two random places into prefix, middle and suffix, and read as

    PSM     <bos> prefix <mask> suffix <sep> middle <eos>
    SPM     <bos> <mask> suffix <sep> prefix middle <eos>

`<mask>` stands where something is missing, `<sep>` before what is missing, `<eos>` at its end: no tokens
beyond the six that every tokenizer has. SPM is the paper's second form, PSM with an empty prefix, so that
both are one rule: after `<sep>` comes what belongs in the place of `<mask>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from biodata.tokenizers.special import BOS, EOS, MASK, PAD, SEP
from biotrain.objectives import Prepared
from biotrain.objectives.clm import next_tokens
from biotrain.objectives.config import ROOM, ObjectiveConfig
from biotrain.objectives.prediction import Prediction

_ADDED = (BOS, MASK, SEP, EOS)
"""What a window may gain: `<mask>` and `<sep>`, and ends if it was cut out of a longer sequence."""


@dataclass(frozen=True, slots=True)
class FillInTheMiddle(Prediction):
    """Every token after `<bos>` is predicted, as in `clm`, of the sequences as rearranged.

    The two cuts are drawn uniformly, so any of the three parts may be empty. Windows of sequences longer than
    the context are rearranged within themselves.

    Attributes:
        rate: chance of a sequence to be rearranged; the others are read as they are.
        spm: share of those in the form SPM.
    """

    rate: float
    spm: float
    causal: ClassVar[bool] = True
    room: ClassVar[int] = ROOM["fim"]

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """See `Objective.prepare`; draws the same numbers whatever the rates.

        >>> ids = torch.tensor([[1, 7, 8, 9, 2, 0]])
        >>> prepared = FillInTheMiddle(1.0, 0.0).prepare(ids, ids != 0, torch.Generator().manual_seed(2))
        >>> prepared.inputs.tolist()
        [[1, 7, 4, 9, 5, 8, 2]]
        """
        draws = torch.rand((4, len(ids)), generator=generator)
        length = mask.sum(1)
        first = (ids[:, 0] == BOS).long()
        last = ids.gather(1, (length - 1).clamp(min=0)[:, None])[:, 0]
        stop = length - (last == EOS).long()
        cuts = (first + draws[:2] * (stop - first + 1)).long().sort(0).values
        chosen = (draws[2] < self.rate) & (stop > first)
        start = torch.where(draws[3] < self.spm, first, cuts[0])
        pieces = _pieces(first, start, cuts[1], stop, width=ids.shape[1])
        whole = torch.stack((torch.zeros_like(length), length), -1)[:, None]
        rest = torch.zeros_like(pieces[:, 1:])
        inputs, mask = _arranged(ids, torch.where(chosen[:, None, None], pieces, torch.cat((whole, rest), 1)))
        return Prepared(inputs, next_tokens(inputs, mask), mask)


def _pieces(first: Tensor, start: Tensor, end: Tensor, stop: Tensor, *, width: int) -> Tensor:
    """[B, 7, 2]: from and to of what a row is put together of; special tokens stand behind the row."""
    bos, hole, sep, eos = ((torch.full_like(first, width + i), torch.full_like(first, width + i + 1))
                           for i in range(len(_ADDED)))  # fmt: skip
    order = (bos, (first, start), hole, (end, stop), sep, (start, end), eos)
    return torch.stack([torch.stack(piece, -1) for piece in order], 1)


def _arranged(ids: Tensor, pieces: Tensor) -> tuple[Tensor, Tensor]:
    """Rows put together of pieces, and their mask, both [B, longest]."""
    special = torch.tensor(_ADDED).expand(len(ids), -1)
    sizes = pieces[..., 1] - pieces[..., 0]
    ends = sizes.cumsum(1)
    place = torch.arange(int(ends[:, -1].max())).expand(len(ids), -1).contiguous()
    mask = place < ends[:, -1:]
    piece = torch.searchsorted(ends, place, right=True).clamp(max=pieces.shape[1] - 1)
    source = place - (ends - sizes - pieces[..., 0]).gather(1, piece)
    found = torch.cat((ids, special), 1).gather(1, source.masked_fill(~mask, 0))
    return found.masked_fill(~mask, PAD), mask


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> FillInTheMiddle:
    """The objective with the configured rates."""
    return FillInTheMiddle(config.fim_rate, config.spm_share)
