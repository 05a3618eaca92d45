"""Gaussian diffusion of pictures of sequences: each row becomes a picture, the model tells its noise.

With a learned variance (arXiv:2102.09672, eq. 16) the loss is the squared error, through which alone what is
told has a gradient, plus 0.001 times the bound on -ln p(picture) in nats per number, by which the variance is
learned. With labels a share of the pictures is learned without theirs (classifier-free guidance,
arXiv:2207.12598).

Shapes: B rows, T tokens, K channels, S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from biodata.errors import ConfigError
from biodata.tokenizers.special import SPECIAL_TOKENS
from biotrain.diffusion.gaussian import noised, wanted
from biotrain.diffusion.pictures import draw
from biotrain.diffusion.times import stratified
from biotrain.diffusion.variance import bound, on_grid
from biotrain.models.config import ModelConfig
from biotrain.models.diffusion_config import ImageConfig
from biotrain.objectives import IGNORE, Batch, Predict, Prepared, Sums, Term
from biotrain.objectives.config import ObjectiveConfig
from biotrain.objectives.prediction import Prediction

FIRST_ORDINARY = len(SPECIAL_TOKENS)
_IUPAC = frozenset("ACGTUNRYSWKMBDHV")
_LETTERS = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3}


@dataclass(slots=True, eq=False)
class ImageDiffusion(Prediction):
    """The loss is the mean squared error per number of the picture, at times spread evenly over a step.

    Attributes:
        letters: [V] uint8, code of each token's letter, 4 = none of A, C, G, T.
        image: which picture, and what is told of it; the model's own, known once it is there.
        terms: the squared error, and what `attach` adds.
    """

    letters: np.ndarray
    image: ImageConfig | None = None
    terms: Mapping[str, Term] = field(default_factory=lambda: {"error": Term(per="rows")})
    predicts_tokens: ClassVar[bool] = False

    def attach(self, model: nn.Module) -> None:
        """Asks the model for its picture; with a learned variance the bound is a term, too."""
        config = model.config
        assert isinstance(config, ModelConfig) and config.image is not None
        self.image = config.image
        if (weight := config.image.bound_weight) is not None:
            self.terms = {**self.terms, "bound": Term(per="rows", weight=weight)}

    def prepare(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Prepared:
        """See `Objective.prepare`; by row, the `picture`, its `noise` and its `time`, and with labels the
        `chance` of losing it."""
        assert self.image is not None, "attach comes first"
        pictures = torch.from_numpy(draw(self.codes(ids.numpy(), mask.numpy()), self.image))
        more = {
            "picture": pictures,
            "noise": torch.randn(pictures.shape, generator=generator),
            "time": stratified(len(ids), generator).float(),
        }
        if self.image.learned_variance:
            more["time"] = on_grid(more["time"])
        if self.image.label:
            more["chance"] = torch.rand(len(ids), generator=generator)
        return Prepared(ids, torch.full_like(ids, IGNORE), by_row=more)

    def codes(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Letters of each row without special tokens, uint8 [B, T], 4 behind the last."""
        real = mask & (ids >= FIRST_ORDINARY)
        order = np.argsort(~real, axis=1, kind="stable")
        found = np.where(real, self.letters[ids], np.uint8(4))
        return np.take_along_axis(found, order, axis=1)[:, : max(1, int(real.sum(1).max(initial=0)))]

    def losses(self, predict: Predict, loss: nn.Module, batch: Batch) -> Sums:
        """See `Objective.losses`; the configured loss has no part in it."""
        assert self.image is not None, "attach comes first"
        x, noise, times = (batch.by_row[name] for name in ("picture", "noise", "time"))
        z, options = noised(x, noise, times), {"times": times, **self._labels(batch)}
        told, *said = predict(z, **options).float().split(x.shape[1], 1)
        error = (told - wanted(x, noise, times, self.image.tells)).square().flatten(1).mean(1)
        losses = [error.sum()]
        if said:
            losses.append(bound(z, told, said[0], noise, times, kind=self.image.tells).sum())
        return Sums(torch.stack(losses), None)

    def _labels(self, batch: Batch) -> dict[str, Tensor]:
        """Classes of a batch, those that are dropped replaced by none."""
        image, known = self.image, batch.by_row.get("label")
        if image is None or image.label_dropout is None or known is None:
            return {}
        dropped = batch.by_row["chance"] < image.label_dropout
        return {"labels": known.masked_fill(dropped, len(image.classes))}


def letter_codes(tokens: Sequence[str]) -> np.ndarray:
    """Code of each token's letter, uint8 [V].

    Raises:
        ConfigError: tokens of more than one letter, or not those of DNA or RNA.

    >>> letter_codes([*SPECIAL_TOKENS, "A", "T", "C", "G", "N"]).tolist()
    [4, 4, 4, 4, 4, 4, 0, 3, 1, 2, 4]
    """
    ordinary = [token for token in tokens[FIRST_ORDINARY:] if not token.startswith("<")]
    if not {"A", "C", "G"} <= set(ordinary) <= _IUPAC:
        raise ConfigError(
            "objective 'image_diffusion' needs a tokenizer of single nucleotides: take kind 'nuc16'"
        )
    codes = [_LETTERS.get(token, 4) for token in tokens[FIRST_ORDINARY:]]
    return np.array([4] * FIRST_ORDINARY + codes, dtype=np.uint8)


def build(config: ObjectiveConfig, vocab_size: int, tokens: Sequence[str]) -> ImageDiffusion:
    """For a vocabulary of single nucleotides."""
    return ImageDiffusion(letter_codes(tokens))
