"""Shapes of the models, and which models there are. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from biodata.catalog import Catalog
from biodata.errors import ConfigError
from biotrain.ranges import check_range

MODELS = Catalog(
    "model",
    {"bert": "biotrain.models.bert:Bert", "gpt2": "biotrain.models.gpt2:GPT2"},
)
"""Name to class; a class is built from `(config, vocab_size)`."""

HEAD_WIDTH = 64
"""Width of an attention head when `heads` is left to us; GPT-2's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Shape of a transformer: GPT-2's pre-norm blocks with learned positions and biases.

    Args: see each field. `heads = 0` and `ffn = 0` are replaced by their rule, so that a saved
        configuration states the numbers used.

    Raises:
        ConfigError: a value out of range, or a width that the heads do not divide.

    >>> ModelConfig(width=640).heads, ModelConfig(width=640).ffn
    (10, 2560)
    >>> ModelConfig(width=100, heads=3)
    Traceback (most recent call last):
    biodata.errors.ConfigError: width 100 is not divisible by heads 3
    """

    name: str = field(
        default="gpt2", metadata={"help": "gpt2 (causal, for clm) or bert (both directions, for mlm)"}
    )
    layers: int = field(default=6, metadata={"help": "number of blocks, 1 or more"})
    width: int = field(default=256, metadata={"help": "hidden width d, 1 or more, a multiple of heads"})
    heads: int = field(default=0, metadata={"help": "attention heads; 0 = one per 64 of width"})
    ffn: int = field(default=0, metadata={"help": "inner width of the feed-forward layer; 0 = 4 x width"})
    context: int = field(
        default=512, metadata={"help": "most tokens of a sequence, special tokens included; 2 or more"}
    )
    dropout: float = field(
        default=0.0, metadata={"help": "probability of dropping embeddings, attention and residuals, 0 to 1"}
    )
    tie_embeddings: bool = field(
        default=True, metadata={"help": "output layer shares the token embedding (HELM: false)"}
    )
    layer_norm_eps: float = field(default=1e-5, metadata={"help": "added to the variance in LayerNorm, > 0"})
    init_std: float = field(
        default=0.02, metadata={"help": "standard deviation of initial weights, >= 0 (GPT-2: 0.02)"}
    )

    def __post_init__(self) -> None:
        MODELS.resolve(self.name)
        for name in ("layers", "width"):
            check_range(f"model {name}", getattr(self, name), low=1)
        check_range("model context", self.context, low=2)
        for name in ("heads", "ffn", "init_std"):
            check_range(f"model {name}", getattr(self, name), low=0)
        check_range("model dropout", self.dropout, low=0, high=1)
        check_range("model layer_norm_eps", self.layer_norm_eps, low=1e-12, high=1)
        object.__setattr__(self, "heads", self.heads or max(1, self.width // HEAD_WIDTH))
        object.__setattr__(self, "ffn", self.ffn or 4 * self.width)
        if self.width % self.heads:
            raise ConfigError(f"width {self.width} is not divisible by heads {self.heads}")
