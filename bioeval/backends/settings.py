"""How a frozen model is run, how its hidden states become one vector, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from biodata.errors import ConfigError

POOLINGS = ("mean", "max", "last", "cls")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How a frozen model is run, whatever is wanted of it."""

    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "precision of the weights; pooling and logarithms are float32"}
    )
    batch_size: int = field(default=16, metadata={"help": "windows in a batch, at least 1"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    seed: int = field(
        default=0, metadata={"help": "draws the weights of random-init models, and what an elbo hides"}
    )
    max_tokens: int = field(
        default=0, metadata={"help": "tokens in a window, specials included; 0 takes the model's context"}
    )
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run a modeling file that is not seqloom's own; read it first"}
    )

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype = {self.dtype!r}, allowed: {', '.join(DTYPES)}")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size = {self.batch_size}, allowed: at least 1")
        if self.max_tokens < 0 or self.max_tokens in (1, 2):
            raise ConfigError(f"max_tokens = {self.max_tokens}, allowed: 0 or at least 3")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSettings(Running):
    """Settings of an embedder; all but `batch_size` and `device` are part of the cache key."""

    layer: str = field(
        default="last",
        metadata={
            "help": "hidden layer: last (after the final norm), 0 (embeddings) to L, -1 to -L-1, or all"
        },
    )
    pooling: Literal["mean", "max", "last", "cls"] = field(
        default="mean",
        metadata={"help": "mean, max or last of the real tokens (specials and padding excluded), or cls"},
    )

    def __post_init__(self) -> None:
        if self.layer not in ("last", "all") and not self.layer.lstrip("-").isdigit():
            raise ConfigError(f"layer = {self.layer!r}, allowed: last, all or a whole number")
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling = {self.pooling!r}, allowed: {', '.join(POOLINGS)}")
        Running.__post_init__(self)

    def key(self) -> dict[str, Any]:
        """What the vectors depend on."""
        return {"layer": self.layer, "pooling": self.pooling, "dtype": self.dtype,
                "max_tokens": self.max_tokens}  # fmt: skip


KINDS = ("log-likelihood", "pseudo-log-likelihood", "elbo", "replaced-token")
"""Kinds of scores, see `bioeval.backends.likelihood`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings(Running):
    """Settings of a scorer; all but `batch_size` and `device` are part of the cache key."""

    kind: Literal["auto", "log-likelihood", "pseudo-log-likelihood", "elbo", "replaced-token"] = field(
        default="auto", metadata={"help": "what is computed; auto: what the model was trained for"}
    )
    end: bool = field(
        default=True, metadata={"help": "log-likelihood: count the end token, where the tokenizer has one"}
    )
    stride: int = field(
        default=0,
        metadata={"help": "new tokens of each window of a sequence longer than the context; 0 = half of it"},
    )
    samples: int = field(default=32, metadata={"help": "elbo: passes that estimate it, at least 2"})

    def __post_init__(self) -> None:
        if self.kind not in ("auto", *KINDS):
            raise ConfigError(f"kind = {self.kind!r}, allowed: auto, {', '.join(KINDS)}")
        if self.stride < 0:
            raise ConfigError(f"stride = {self.stride}, allowed: 0 (half the window) or more")
        if self.samples < 2:
            raise ConfigError(f"samples = {self.samples}, allowed: at least 2")
        Running.__post_init__(self)

    def key(self) -> dict[str, Any]:
        """What the scores depend on."""
        about = {"kind": self.kind, "dtype": self.dtype, "max_tokens": self.max_tokens, "stride": self.stride}
        if self.kind == "log-likelihood":
            about["end"] = self.end
        if self.kind == "elbo":
            about |= {"samples": self.samples, "seed": self.seed}
        return about
