"""Bidirectional Mamba in HELM's form (arXiv:2410.12459): two Mamba blocks a layer, one reading from the end.

With x the stream, f and b the two blocks' parts (stream, what is added last), b's turned back:

    x' = (stream_f + stream_b) / 2 + W [added_f; added_b] + v

and x a sigmoid gate times the embedding at the start. HELM's gate is a linear layer of the embedding and
zeros, so that half its weights are multiplied by nothing; they are kept, for the sizes published are with
them. Padding touches neither direction, where HELM's backward block reads it first.
"""

from __future__ import annotations

from biotrain.models.architecture import Architecture, Size, Style
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import (
    SSM_MODELING,
    around_layers,
    core_multiplied,
    core_size,
    kept_by_layers,
    settle_mamba,
    ssm_of,
)


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """Two Mamba blocks a layer and 2 d^2 + d that join them; a gate of 2 d + 1."""
    d, ssm = config.width, ssm_of(config)
    projections, mlp = 3 * d * ssm.expand * d, 3 * d * config.ffn
    block = projections + core_size(d, ssm) + d
    second_mlp = mlp + d if mlp else 0  # `around_layers` counts the first
    layer = 2 * block + second_mlp + 2 * d * d + d
    multiplied = 2 * (projections + core_multiplied(d, ssm)) + mlp + 2 * d * d
    size = around_layers(config, vocab_size, layer=layer, multiplied=multiplied)
    gate = 2 * d + 1
    return size._replace(total=size.total + gate, active=size.active + gate, multiplied=size.multiplied + d)


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    attends=False,
    takes=frozenset({"ssm"}),
    positions=("none", "learned"),
    ffn=lambda width: 0,
    size=_size,
    kept=kept_by_layers,
    settle=settle_mamba,
    builder="biotrain.layers.ssm_models:BiMamba",
    style=Style(norm="rms", bias=False, feed_forward="swiglu"),
    modeling=SSM_MODELING,
)
