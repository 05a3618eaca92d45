"""Maximal update parametrisation (Yang et al. 2022, arXiv:2203.03466): what was tuned narrow holds when wide.

With m = width / `mup_base_width` a model differs from the usual one in (table 8 of the paper, for Adam)

    hidden matrices (both sides grow)   initial std / sqrt(m), learning rate / m, weight decay x m
    output layer                        logits = head(x / m)
    attention                           scores q k 8 / d instead of q k / sqrt(d), the same for heads of 64
    everything else                     as it is

A router, which reads the width and writes E numbers, is an output layer too; here its multiplier is moved
into std / m, rate / m and decay x m, which trains the same (the paper's lemma J.1). Learning rate and decay
are those of `mup.MuAdamW`. Shapes are compared with those of the base model (`ModelConfig.mup_base`); m is
the ratio of the inputs of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from biotrain.models.config import ModelConfig

KEPT_HEAD_WIDTH = 64
"""Width of a head at which 1/d scaling is 1/sqrt(d) scaling."""


class Growth(NamedTuple):
    """Of a parameter that muP treats apart.

    Attributes:
        factor: its inputs over the base model's, m.
        hidden: whether both its sides grow; otherwise it is a router.
    """

    factor: float
    hidden: bool

    @property
    def start(self) -> float:
        """What its initial weights are multiplied by."""
        return self.factor**-0.5 if self.hidden else 1 / self.factor


def growths(model: nn.Module) -> dict[str, Growth]:
    """Parameters of a model with `mup_base_width` that learn slower than at the base width, by name."""
    config = getattr(model, "config", None)
    if not isinstance(config, ModelConfig) or not config.mup_base_width:
        return {}
    with torch.device("meta"):
        base = config.architecture.build(config.mup_base(), model.get_parameter("tokens.weight").shape[0])
    narrow = dict(base.named_parameters())
    found = {}
    for name, p in model.named_parameters():
        grown = [side for side, (wide, old) in enumerate(zip(p.shape, narrow[name].shape)) if wide != old]
        if len(grown) == 2 or (grown and name.endswith("router.weight")):
            found[name] = Growth(p.shape[-1] / narrow[name].shape[-1], len(grown) == 2)
    return found


@torch.no_grad()
def scale_start(model: nn.Module) -> None:
    """Makes initial weights of the usual size those of muP."""
    named = dict(model.named_parameters())
    for name, growth in growths(model).items():
        named[name].mul_(growth.start)


def attention_scale(config: ModelConfig) -> float | None:
    """Factor of the scores q k; `None` = 1 / sqrt(d)."""
    if not config.mup_base_width or config.head_width == KEPT_HEAD_WIDTH:
        return None
    return math.sqrt(KEPT_HEAD_WIDTH) / config.head_width


def output_scale(config: ModelConfig) -> float:
    """Factor of what the output layer reads."""
    return config.mup_base_width / config.width if config.mup_base_width else 1.0


def from_usual(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """What `as_usual` gave, or the weights of any usual model, as a model of `config` computes with them.

    Args:
        weights: of the usual parametrisation.
        config: of the model to be, with or without muP.
    """
    if not config.mup_base_width:
        return dict(weights)
    return _scaled(weights, config, lambda value, factor: value / factor)


def as_usual(weights: Mapping[str, Tensor], config: ModelConfig) -> tuple[Mapping[str, Tensor], ModelConfig]:
    """Weights of the usual parametrisation that compute the same, and their configuration.

    The factor of the scores goes into the queries, that of the output into the last norm.
    """
    if not config.mup_base_width:
        return weights, config
    usual = _scaled(weights, config, lambda value, factor: value * factor)
    return usual, replace(config, mup_base_width=0)


def _scaled(
    weights: Mapping[str, Tensor], config: ModelConfig, scale: Callable[[Tensor, float], Tensor]
) -> dict[str, Tensor]:
    scaled = dict(weights)
    queries = config.heads * config.head_width
    factor = (attention_scale(config) or config.head_width**-0.5) * math.sqrt(config.head_width)
    norm = "transform_norm." if "transform_norm.weight" in weights else "norm."
    for name, value in weights.items():
        if ".attention.qkv." in name:
            scaled[name] = torch.cat((scale(value[:queries], factor), value[queries:]))
        elif name.startswith(norm):
            scaled[name] = scale(value, output_scale(config))
    return scaled
