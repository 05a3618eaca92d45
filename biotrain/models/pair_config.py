"""Settings of a generator beside its discriminator. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from biodata.errors import ConfigError
from biotrain.models.architecture import Size
from biotrain.ranges import check_range

if TYPE_CHECKING:
    from biotrain.models.config import ModelConfig


RELATIVE_BUCKETS = 32
"""Of `biotrain.layers.positions`, which needs torch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairConfig:
    """The generator of models `electra` and `metro`; what is 0 is filled by the model's rule.

    Raises:
        ConfigError: a value out of range.
    """

    generator_layers: int = field(
        default=0, metadata={"help": "blocks of the generator; 0 = electra all, metro a third of the model's"}
    )
    generator_width: int = field(
        default=0,
        metadata={"help": "width of the generator; 0 = electra a quarter, metro the model's"},
    )
    generator_heads: int = field(default=0, metadata={"help": "its attention heads; 0 = one per 64 of width"})
    generator_ffn: int = field(default=0, metadata={"help": "its inner width; 0 = 4 x its width"})
    generator_dropout: float | None = field(
        default=None, metadata={"help": "its dropout, 0 to 1; none = electra the model's, metro 0"}
    )
    embedding_width: int = field(
        default=0, metadata={"help": "width of the shared embeddings; 0 = width (ELECTRA small 128 of 256)"}
    )
    disentangled: bool = field(
        default=False,
        metadata={"help": "discriminator learns a difference to the generator's embeddings (DeBERTaV3)"},
    )

    def __post_init__(self) -> None:
        for name in ("generator_layers", "generator_width", "generator_heads", "generator_ffn",
                     "embedding_width"):  # fmt: skip
            check_range(f"model {name}", getattr(self, name), low=0)
        check_range("model generator_dropout", self.generator_dropout or 0.0, low=0, high=1)


def complete_pair(config: ModelConfig, *, width: int, layers: int, dropout: float) -> dict[str, Any]:
    """The whole `pair` of a configuration.

    Args:
        config: of the discriminator.
        width: of the generator unless given.
        layers: the same.
        dropout: the same.

    Raises:
        ConfigError: a generator whose heads do not divide its width, or untied embeddings.
    """
    pair = config.pair
    assert pair is not None
    width = pair.generator_width or max(1, width)
    filled = replace(
        pair,
        generator_width=width,
        generator_layers=pair.generator_layers or max(1, layers),
        generator_heads=pair.generator_heads or max(1, width // 64),
        generator_ffn=pair.generator_ffn or 4 * width,
        generator_dropout=dropout if pair.generator_dropout is None else pair.generator_dropout,
        embedding_width=pair.embedding_width or config.width,
    )
    if not config.tie_embeddings:
        raise ConfigError(f"model {config.name!r} shares its embeddings: leave tie_embeddings true")
    if width % filled.generator_heads:
        heads = filled.generator_heads
        raise ConfigError(f"generator_width {width} is not divisible by generator_heads {heads}")
    if config.position == "rope" and width // filled.generator_heads % 2:
        shape = f"generator_width {width} / generator_heads {filled.generator_heads}"
        raise ConfigError(f"position 'rope' needs heads of even width, got {shape}")
    return {"pair": filled}


def generator_shape(config: ModelConfig) -> ModelConfig:
    """The generator alone, as the discriminator of a pair is described."""
    pair = config.pair
    assert pair is not None and pair.generator_dropout is not None
    return replace(
        config,
        name="electra",
        pair=replace(pair, disentangled=False),
        layers=pair.generator_layers,
        width=pair.generator_width,
        heads=pair.generator_heads,
        ffn=pair.generator_ffn,
        dropout=pair.generator_dropout,
        attention_dropout=None,
    )


def pair_size(config: ModelConfig, vocab_size: int, *, corrects: bool) -> Size:
    """Closed form of generator and discriminator, which a token passes both.

    With embeddings of width e over V tokens and C places: V e + C e and a norm 2 e, both once more where
    disentangled; with relative positions 32 numbers for each head instead of C e. A discriminator of L blocks
    of width d, inner width f: L (4 d^2 + 2 d f + 9 d + f), e d + d when e differs from d, and a head of
    d^2 + 2 d + 1. A generator alike but for its head: from its width g to e, a norm and a bias,
    g e + 3 e + V. A corrector has a bias, V.

    Args:
        config: with the group `pair`.
        vocab_size: V.
        corrects: whether the discriminator also names the tokens that were replaced.
    """
    pair, shape = config.pair, generator_shape(config)
    assert pair is not None
    e, d, g = pair.embedding_width, config.width, shape.width
    places = config.context * e if config.position == "learned" else 0
    tables = (vocab_size * e + places) * (1 + pair.disentangled)
    tables += RELATIVE_BUCKETS * (config.heads + shape.heads) if config.position == "relative" else 0
    project = (e * d if e != d else 0) + (e * g if e != g else 0)
    blocks = sum(m.layers * (4 * m.width**2 + 2 * m.width * m.ffn) for m in (config, shape))
    biases = sum(m.layers * (9 * m.width + m.ffn) for m in (config, shape))
    biases += (d if e != d else 0) + (g if e != g else 0)
    heads = d * d + d + g * e
    around = 2 * e * (1 + pair.disentangled) + d + 1 + 3 * e + vocab_size * (1 + corrects)
    total = tables + project + blocks + biases + heads + around
    return Size(
        total=total,
        active=total,
        embedding=tables,
        multiplied=project + blocks + heads + vocab_size * e * (1 + corrects),
        mixing=2 * config.layers * d + 2 * shape.layers * g,
    )
