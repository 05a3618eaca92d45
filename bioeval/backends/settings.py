"""How a model's hidden states become one vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from biodata.errors import ConfigError

POOLINGS = ("mean", "max", "last", "cls")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSettings:
    """Settings of an embedder; all but `batch_size` and `device` are part of the cache key."""

    layer: str = field(
        default="last",
        metadata={"help": "hidden layer: last (after the final norm), or 0 (embeddings) to L, or -1 to -L-1"},
    )
    pooling: Literal["mean", "max", "last", "cls"] = field(
        default="mean",
        metadata={"help": "mean, max or last of the real tokens (specials and padding excluded), or cls"},
    )
    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "precision of the weights; pooling is always in float32"}
    )
    batch_size: int = field(default=16, metadata={"help": "windows in a batch, at least 1"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    seed: int = field(default=0, metadata={"help": "draws the weights of random-init models"})
    max_tokens: int = field(
        default=0, metadata={"help": "tokens in a window, specials included; 0 takes the model's context"}
    )
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run a modeling file that is not seqloom's own; read it first"}
    )

    def __post_init__(self) -> None:
        if self.layer != "last" and not self.layer.lstrip("-").isdigit():
            raise ConfigError(f"layer = {self.layer!r}, allowed: last or a whole number")
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling = {self.pooling!r}, allowed: {', '.join(POOLINGS)}")
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype = {self.dtype!r}, allowed: {', '.join(DTYPES)}")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size = {self.batch_size}, allowed: at least 1")
        if self.max_tokens < 0 or self.max_tokens in (1, 2):
            raise ConfigError(f"max_tokens = {self.max_tokens}, allowed: 0 or at least 3")

    def key(self) -> dict[str, Any]:
        """What the vectors depend on."""
        return {"layer": self.layer, "pooling": self.pooling, "dtype": self.dtype,
                "max_tokens": self.max_tokens}  # fmt: skip
