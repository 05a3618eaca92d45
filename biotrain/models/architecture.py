"""What an architecture is: its traits, its size, and the class of transformers it can be written as.

Each file beside this one that states an `ARCHITECTURE` is an entry of `MODELS`. Nothing here imports torch:
`seqloom --help` and a dry run need traits and sizes, and `build` names the module to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from biotrain.layers.transformer import Transformer
    from biotrain.models.config import ModelConfig

POSITIONS = ("learned", "rope", "alibi", "none")
"""Ways for a transformer to know where a token stands."""

TRANSFORMER = "biotrain.layers.transformer:Transformer"


class Size(NamedTuple):
    """Numbers of a model by closed form.

    Attributes:
        total: parameters.
        active: those that one token passes through.
        embedding: token and position tables and an untied output layer.
        multiplied: weights that a token is multiplied with, looked-up tables being free.
        mixing: multiplied by the sequence length, the multiplications of a token with the others.
    """

    total: int
    active: int
    embedding: int
    multiplied: int
    mixing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a transformer's block is made.

    Attributes:
        norm: LayerNorm with or without bias, or RMSNorm (arXiv:1910.07467) without.
        bias: whether linear layers have one.
        feed_forward: `gelu` (exact), `gelu_tanh`, `swiglu` or `geglu` (arXiv:2002.05202), `experts`
            (SwiGLU ones).
        post_norm: norms after each sum and after the embedding, and a head that transforms (BERT),
            instead of before each layer and at the end.
    """

    norm: Literal["layer", "layer_unbiased", "rms"]
    bias: bool
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu", "geglu", "experts"]
    post_norm: bool = False


class Stored(NamedTuple):
    """How transformers keeps one of our tensors.

    Attributes:
        names: in transformers; with more than one, the rows are cut into these, `rows` each.
        rows: all but the last dimension count as rows.
        turned: transposed.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...] = ()
    turned: bool = False


class Modeling(NamedTuple):
    """The file that computes a model in transformers where that has no class for it.

    Attributes:
        module: a file of `biotrain/modeling/`, which is written beside the weights.
        prefix: of its classes `Config`, `Model`, `ForCausalLM` and `ForMaskedLM`.
        model_type: in `config.json`; starts with `seqloom`.
    """

    module: str = "modeling_seqloom"
    prefix: str = "Seqloom"
    model_type: str = "seqloom"


SEQLOOM = Modeling()
"""Of transformers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HfLayout:
    """The class of transformers that computes the same.

    Attributes:
        model_type: in `config.json`.
        auto: the Auto class of the task, for the card.
        fits: whether a configuration can be written as that class.
        stored: our parameter name to its place there.
        config: `config.json` without what all models share.
        read: a `config.json` to the settings of `ModelConfig`.
        fixed: keys with the one value that we compute.
        zeros: tensors that transformers has and we do not, which must be zero to compute the same.
        copies: further names under which a tensor is stored too.
        unread: tensors of other uses that may lie in a file.
        tied: whether transformers ties the output layer when the file does not say.
    """

    model_type: str
    auto: Literal["AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForPreTraining"]
    fits: Callable[[ModelConfig], bool]
    stored: Callable[[str, ModelConfig], Stored]
    config: Callable[[ModelConfig], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    fixed: Mapping[str, Any]
    zeros: Callable[[ModelConfig], Mapping[str, tuple[int, ...]]] = lambda config: {}
    copies: Callable[[ModelConfig], Mapping[str, str]] = lambda config: {}
    unread: frozenset[str] = frozenset()
    tied: bool = True


def kept_by_transformer(config: ModelConfig) -> int:
    """Numbers of a token and layer that a transformer keeps for the backward pass: 8 d, and twice the inner
    width of each expert visited."""
    return 8 * config.width + 2 * config.ffn * (config.moe.top_k if config.moe else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An entry of `MODELS`.

    Attributes:
        bidirectional: whether it sees both sides when that is not said.
        takes: optional fields of `ModelConfig` that mean something here; others are refused.
        positions: allowed ones, its own first.
        ffn: inner width of the feed-forward layer by the width, when that is not said.
        size: of a configuration and vocabulary size.
        builder: `module:Class`, built from `(config, vocab_size)`.
        style: for the transformer.
        hf: native form in transformers.
        modeling: of what has no native form.
        attends: whether tokens look at one another by attention over the whole sequence alone; otherwise
            no mask of T x T is made, and `Scene` has what other layers need instead.
        directions: allowed values of `bidirectional`.
        settle: fields that it fills in by rules of its own; refuses what cannot be.
        kept: numbers of a token and layer that the backward pass needs, about.
        of_tokens: fills in what depends on the vocabulary's tokens, or refuses them.
        objectives: the only ones it learns by; none = all that suit its direction.
    """

    bidirectional: bool
    takes: frozenset[str]
    positions: tuple[str, ...]
    ffn: Callable[[int], int]
    size: Callable[[ModelConfig, int], Size]
    builder: str = TRANSFORMER
    style: Style | None = None
    hf: HfLayout | None = None
    modeling: Modeling = SEQLOOM
    attends: bool = True
    directions: tuple[bool, ...] = (False, True)
    packs: bool = True
    objectives: tuple[str, ...] = ()
    settle: Callable[[ModelConfig], dict[str, Any]] = lambda config: {}
    kept: Callable[[ModelConfig], int] = kept_by_transformer
    of_tokens: Callable[[ModelConfig, Sequence[str]], ModelConfig] = lambda config, tokens: config

    def build(self, config: ModelConfig, vocab_size: int) -> Transformer:
        """The module, with weights that are not drawn yet."""
        module, name = self.builder.split(":")
        return getattr(import_module(module), name)(config, vocab_size)
