"""A tokenizer kind: how it is made from a configuration and data, and how it is read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from biodata.errors import ConfigError
from biodata.tokenizers.protocol import Tokenizer

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig
    from biodata.tokenizers.corpus import Corpus

T = TypeVar("T", bound=Tokenizer)


class Kind(NamedTuple):
    """What the catalog lists.

    Attributes:
        make: builds a tokenizer; kinds with a fixed vocabulary do not look at the data.
        load: reads a saved folder, given its path and the fields that `save` wrote.
        learns: whether the vocabulary comes from the data.
    """

    make: Callable[[TokenizerConfig, Corpus], Tokenizer]
    load: Callable[[Path, Mapping[str, Any]], Tokenizer]
    learns: bool = False


def fixed_kind(build: Callable[[], T]) -> Kind:
    """The kind of a tokenizer that has one form only."""
    return Kind(
        make=lambda config, corpus: check_fixed(build(), config),
        load=lambda path, fields: build(),
    )


def check_fixed(tokenizer: T, config: TokenizerConfig) -> T:
    """Refuses options that ask a fixed vocabulary to be another.

    Raises:
        ConfigError: quoting the option.
    """
    refuse_sampling(config)
    size = tokenizer.vocab_size
    if config.vocab_size not in (None, size):
        raise ConfigError(
            f"vocab_size = {config.vocab_size}, but a {config.kind} tokenizer always has {size} tokens: "
            f"leave it out"
        )
    if config.alphabet not in (None, tokenizer.alphabet):
        raise ConfigError(
            f"alphabet = {config.alphabet!r}, but a {config.kind} tokenizer reads {tokenizer.alphabet}"
        )
    return tokenizer


def refuse_sampling(config: TokenizerConfig) -> None:
    """Refuses options of a sample to learn from, where none is drawn.

    Raises:
        ConfigError: quoting the option.
    """
    defaults = {field.name: field.default for field in fields(config)}
    for name in ("sample_letters", "piece_letters", "seed"):
        value = getattr(config, name)
        if value != defaults[name]:
            raise ConfigError(
                f"{name} = {value}, but a {config.kind} tokenizer draws no sample: leave it out"
            )
