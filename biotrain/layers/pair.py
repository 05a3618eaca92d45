"""A generator of tokens and a discriminator of them that share embeddings (ELECTRA, METRO).

Both are BERT's encoder. The discriminator is the model proper: `hidden` and `forward` are its own. Embeddings
are those of the generator, with their norm; disentangled (DeBERTaV3, arXiv:2111.09543, section 3.3) the
discriminator has a norm of its own and E + D, where its gradient goes into D alone.

Shapes: B sequences, T tokens, N masked ones, V vocabulary, E width of the embeddings.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biotrain.layers.positions import RELATIVE_BUCKETS
from biotrain.layers.scene import Scene, make_scene
from biotrain.layers.transformer import Block, Transformer
from biotrain.models.architecture import Style
from biotrain.models.config import ModelConfig
from biotrain.models.pair_config import PairConfig, generator_shape


class Judged(NamedTuple):
    """What both models say.

    Attributes:
        generated: [N, V] the generator's logits at the masked places.
        drawn: [N] the tokens drawn from them, which the discriminator read there.
        verdicts: [B, T] its logits of "this token was replaced".
        corrected: [N, V] its logits for the right token, if it has a corrector.
    """

    generated: Tensor
    drawn: Tensor
    verdicts: Tensor
    corrected: Tensor | None


class Generator(nn.Module):
    """Blocks and masked-language head of ELECTRA's generator; embeddings and output layer are not its own."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, width = generator_shape(config), _pair(config).embedding_width
        style = self.config.architecture.style
        assert style is not None
        self.project = _projection(width, self.config.width)
        self.blocks = nn.ModuleList(Block(self.config, style) for _ in range(self.config.layers))
        self.transform = nn.Linear(self.config.width, width)
        self.transform_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.empty(vocab_size))
        self.relative = _relative(self.config)

    def forward(self, x: Tensor, scene: Scene, rows: Tensor) -> Tensor:
        """Embeddings [B, T, E] to [N, E], from which the output layer makes logits."""
        x = self.project(_dropped(x, self.config.dropout, self.training))
        for layer, block in enumerate(self.blocks):
            x = block(x, scene, layer)
        return self.transform_norm(F.gelu(self.transform(_chosen(x, rows))))


class Pair(Transformer):
    """See the module."""

    corrects = False

    def make_embedding(self) -> None:
        """Tables of their own width, a norm; disentangled also the discriminator's difference to them."""
        config, pair = self.config, _pair(self.config)
        width = pair.embedding_width
        self.tokens = nn.Embedding(self.vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        if config.position == "learned":
            self.positions = nn.Embedding(config.context, width)
        if pair.disentangled:
            self.token_change = nn.Embedding(self.vocab_size, width)
            self.own_norm = nn.LayerNorm(width, eps=config.norm_eps)
            if config.position == "learned":
                self.position_change = nn.Embedding(config.context, width)
        self.project = _projection(width, config.width)
        self.relative = _relative(config)

    @property
    def relative_table(self) -> Tensor | None:
        """See `Transformer`; of the discriminator, its layers sharing it. The generator has its own."""
        return None if self.relative is None else self.relative.weight

    def make_head(self, style: Style) -> None:
        """What judges tokens, instead of logits over the vocabulary; and the generator."""
        self.judge = nn.Linear(self.config.width, self.config.width)
        self.verdict = nn.Linear(self.config.width, 1)
        self.generator = Generator(self.config, self.vocab_size)

    def init_weights(self, generator: torch.Generator) -> None:
        """As any model's; the discriminator's embeddings begin as the generator's."""
        super().init_weights(generator)
        with torch.no_grad():
            for name in ("token_change", "position_change"):
                if hasattr(self, name):
                    getattr(self, name).weight.zero_()

    def tables(self) -> tuple[Tensor, Tensor | None]:
        """Token and position embeddings of the discriminator; gradient goes where it may."""
        tokens = self.tokens.weight
        positions = self.positions.weight if self.config.position == "learned" else None
        if _pair(self.config).disentangled:
            tokens = tokens.detach() + self.token_change.weight
            positions = None if positions is None else positions.detach() + self.position_change.weight
        return tokens, positions

    def generated(
        self, ids: Tensor, rows: Tensor, *, mask: Tensor | None = None, documents: Tensor | None = None
    ) -> Tensor:
        """The generator's logits [N, V] at the N positions of `rows` in reading order.

        Args:
            ids: [B, T] with masks.
            rows: [B, T], True where logits are wanted.
            mask: see `hidden`, as `documents`.
            documents: as above.
        """
        part = self.generator
        table = None if part.relative is None else part.relative.weight
        scene = make_scene(
            part.config, ids, mask=mask, documents=documents, cache=None, routing=None, table=table
        )
        positions = self.positions.weight if self.config.position == "learned" else None
        x = self.norm(_looked_up(ids, scene, self.tokens.weight, positions))
        return F.linear(part(x, scene, rows), self.tokens.weight, part.bias)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states [.., D] to logits [..] of "this token was replaced"."""
        return self.verdict(F.gelu(self.judge(x))).squeeze(-1)

    def correct(self, x: Tensor) -> Tensor | None:
        """Hidden states [N, D] to logits [N, V] of the right tokens, where there is a corrector."""
        return None

    def forward(
        self, ids: Tensor, *, mask: Tensor | None = None, rows: Tensor | None = None,
        documents: Tensor | None = None, noise: Tensor | None = None, **nothing: Any,
    ) -> Any:  # fmt: skip
        """The discriminator's logits of "replaced"; with `noise` the generator's before it.

        Args:
            ids: [B, T] token ids, padded on the right.
            mask: [B, T], True at real tokens; `None` when nothing is padded.
            rows: [B, T], True where logits are wanted; with `noise` where tokens are masked.
            documents: see `hidden`.
            noise: [N] in [0, 1), from which the tokens at `rows` are drawn.

        Returns:
            [B, T], or [N] for the N positions of `rows`; with `noise` a `Judged`.
        """
        if noise is None or rows is None:
            x = self.hidden(ids, mask, documents=documents)
            return self.logits(x if rows is None else _chosen(x, rows))
        generated = self.generated(ids, rows, mask=mask, documents=documents)
        drawn = draw(generated, noise)
        x = self.hidden(ids.masked_scatter(rows, drawn), mask, documents=documents)
        return Judged(generated, drawn, self.logits(x), self.correct(_chosen(x, rows)))

    def _embed(self, ids: Tensor, scene: Scene) -> Tensor:
        norm = self.own_norm if _pair(self.config).disentangled else self.norm
        x = norm(_looked_up(ids, scene, *self.tables()))
        return self.project(_dropped(x, self.config.dropout, self.training))


class CorrectingPair(Pair):
    """With METRO's corrector: at masked places the discriminator also says which token is the right one, by
    its embeddings and a bias (the simple head of arXiv:2204.06644)."""

    corrects = True

    def make_head(self, style: Style) -> None:
        """See `Pair.make_head`."""
        super().make_head(style)
        self.corrector_bias = nn.Parameter(torch.empty(self.vocab_size))

    def correct(self, x: Tensor) -> Tensor | None:
        """See `Pair.correct`."""
        return F.linear(x, self.tables()[0], self.corrector_bias)


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """One token a row by inversion: the first whose cumulative probability exceeds the row's number.

    Args:
        logits: [N, V].
        noise: [N] in [0, 1).

    >>> logits = torch.tensor([[0.0, 0.0, -torch.inf], [0.0, 5.0, 0.0]])
    >>> draw(logits, torch.tensor([0.6, 0.5])).tolist()
    [1, 1]
    """
    with torch.no_grad():
        sums = logits.double().softmax(-1).cumsum(-1)
        chosen = (sums <= noise.double()[:, None] * sums[:, -1:]).sum(-1)
        return chosen.clamp(max=logits.shape[-1] - 1)


def _pair(config: ModelConfig) -> PairConfig:
    assert config.pair is not None
    return config.pair


def _relative(config: ModelConfig) -> nn.Embedding | None:
    return nn.Embedding(RELATIVE_BUCKETS, config.heads) if config.position == "relative" else None


def _projection(width: int, wanted: int) -> nn.Module:
    return nn.Identity() if width == wanted else nn.Linear(width, wanted)


def _looked_up(ids: Tensor, scene: Scene, tokens: Tensor, positions: Tensor | None) -> Tensor:
    x = F.embedding(ids, tokens)
    if positions is None:
        return x
    places = scene.places
    return x + (positions[: ids.shape[1]] if places.ndim == 1 else positions[places])


def _dropped(x: Tensor, share: float, training: bool) -> Tensor:
    return F.dropout(x, share) if training and share else x


def _chosen(x: Tensor, rows: Tensor) -> Tensor:
    return x.flatten(0, 1).index_select(0, rows.flatten().nonzero().squeeze(1))
