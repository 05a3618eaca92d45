"""Sequences from a model of masked diffusion: from all hidden to none (MDLM, arXiv:2406.07524, section
3.2.3).

From time t to s each hidden token appears with probability (t - s) / t, drawn from what the model predicts.
That is to say that every token has an hour of its own, uniform from 0 to 1, at which it appears; so each
sequence needs two numbers a token, its hour and its draw, and nothing is computed for a sequence in a step in
which none of its tokens appears.

Shapes: B sequences, T places, N tokens that appear, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from biodata.tokenizers.special import BOS, EOS, MASK, PAD
from biotrain.diffusion.notes import draw_length
from biotrain.diffusion.subs import without_special
from biotrain.generate_config import GenerateConfig

Choose = Callable[..., Tensor]
"""`choose(logits [N, V], uniform [N], temperature=, top_k=, top_p=)` gives [N] tokens."""


class Canvas(NamedTuple):
    """Sequences under way.

    Attributes:
        ids: [B, T], `<bos>` prompt `<mask>`... `<eos>` `<pad>`...
        real: [B, T], False at padding.
        turn: [B, T] at which step a token appears, counted down to 1; 0 where there is one already.
        draw: [B, T] the uniform number of each token.
    """

    ids: Tensor
    real: Tensor
    turn: Tensor
    draw: Tensor


class DiffusionSampler:
    """Makes token rows as `biotrain.generate` does, a sequence's random numbers being its own.

    Args:
        model: bidirectional, trained by masked diffusion.
        config: what to generate.
        prompt: ids that every sequence begins with.
        limit: most tokens of a row, `<bos>` and `<eos>` not counted.
        lengths: quantiles of lengths to draw from.
        choose: picks tokens.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        config: GenerateConfig,
        *,
        prompt: list[int],
        limit: int,
        lengths: list[int],
        choose: Choose,
    ) -> None:
        self.model, self.config, self.prompt = model, config, prompt
        self.limit, self.lengths, self.choose = limit, lengths, choose

    def batches(self) -> Iterator[list[list[int]]]:
        """Rows of ids from `<bos>` to `<eos>`, in the order of their index."""
        for start in range(0, self.config.num, self.config.batch_size):
            yield self._batch(range(start, min(start + self.config.batch_size, self.config.num)))

    def _batch(self, indices: range) -> list[list[int]]:
        canvas = self._canvas(indices, next(self.model.parameters()).device)
        for turn in range(int(canvas.turn.max()), 0, -1):
            self._reveal(canvas, turn)
        return [ids[real].tolist() for ids, real in zip(canvas.ids.cpu(), canvas.real.cpu())]

    def _canvas(self, indices: range, device: torch.device) -> Canvas:
        known, rows = len(self.prompt), []
        for index in indices:
            random = np.random.default_rng([self.config.seed, index])
            length = draw_length(self.lengths, random.random(), low=known + 1, high=self.limit)
            hours, draws = random.random((self.limit, 2)).T  # the first ones whatever the limit
            rows.append((length, hours[known:length], draws[known:length]))
        width = 2 + max(length for length, _, _ in rows)
        ids = np.full((len(rows), width), PAD)
        turn, draw = np.zeros(ids.shape, np.int64), np.zeros(ids.shape)
        for row, (length, hours, draws) in enumerate(rows):
            hidden = slice(1 + known, 1 + length)
            ids[row, : 1 + known], ids[row, 1 + length] = [BOS, *self.prompt], EOS
            ids[row, hidden], turn[row, hidden], draw[row, hidden] = MASK, self._turns(hours), draws
        made = (torch.from_numpy(array).to(device) for array in (ids, ids != PAD, turn, draw))
        return Canvas(*made)

    def _turns(self, hours: np.ndarray) -> np.ndarray:
        """Step of each token: that of its hour, or its rank where every token has a step of its own."""
        if self.config.steps:
            return 1 + np.floor(hours * self.config.steps).astype(np.int64)
        return 1 + np.argsort(np.argsort(hours, kind="stable"))

    def _reveal(self, canvas: Canvas, turn: int) -> None:
        """Fills in, all at once, the tokens whose turn it is."""
        going = (canvas.turn == turn).any(1).nonzero().squeeze(1)
        if not len(going):
            return
        rows, real = canvas.turn[going] == turn, canvas.real[going]
        ids, draw, c = canvas.ids[going], canvas.draw[going], self.config
        logits = without_special(self.model(ids, mask=None if real.all() else real, rows=rows).float())
        options = {"temperature": c.temperature, "top_k": c.top_k, "top_p": c.top_p}
        ids[rows] = self.choose(logits, draw[rows], **options)
        canvas.ids[going] = ids
