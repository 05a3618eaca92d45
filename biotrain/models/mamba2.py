"""Mamba-2 (Dao and Gu, arXiv:2405.21060): one decay a head, which makes the scan matrix products. Causal.

Without a feed-forward layer (`ffn` 0) and positions it is interchangeable with transformers'
`Mamba2ForCausalLM` of one group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from biodata.errors import ConfigError
from biotrain.models.architecture import Architecture, HfLayout, Size, Stored, Style
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import (
    SSM_MODELING,
    SsmConfig,
    around_layers,
    kept_by_layers,
    read_shape,
    refuse_others,
    ssm_of,
)

HEAD_CHANNELS, STATES = 64, 128

_OUTER = {"tokens": "backbone.embeddings", "norm": "backbone.norm_f", "head": "lm_head"}
_BLOCK = {
    "norm1.weight": "norm.weight",
    "mixer.in_proj.weight": "mixer.in_proj.weight",
    "mixer.conv_weight": "mixer.conv1d.weight",
    "mixer.conv_bias": "mixer.conv1d.bias",
    "mixer.dt_bias": "mixer.dt_bias",
    "mixer.A_log": "mixer.A_log",
    "mixer.D": "mixer.D",
    "mixer.norm.weight": "mixer.norm.weight",
    "mixer.out.weight": "mixer.out_proj.weight",
}


def _settle(config: ModelConfig) -> dict[str, Any]:
    """128 states, heads of 64 channels, or of all where there are fewer."""
    ssm = ssm_of(config)
    others = {"dt_rank": "mamba, bimamba, caduceus", "equivariant": "caduceus", "complement": "caduceus"}
    refuse_others(config, others)
    channels = ssm.expand * config.width
    head = ssm.head_channels or min(HEAD_CHANNELS, channels)
    if channels % head:
        raise ConfigError(
            f"model 'mamba2' has {channels} channels (expand {ssm.expand} x width {config.width}), which "
            f"head_channels {head} does not divide"
        )
    return {"ssm": replace(ssm, state_size=ssm.state_size or STATES, head_channels=head)}


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """Per layer, with width d, C = expand d channels, N states, H heads: d (2 C + 2 N + H) in, d C out, the
    convolution of C + 2 N channels with bias, 3 H, and norms of C and d."""
    d, ssm = config.width, ssm_of(config)
    channels, states = ssm.expand * d, ssm.state_size
    heads, mixed = channels // ssm.head_channels, channels + 2 * states
    projections = d * (channels + mixed + heads) + d * channels
    layer = projections + mixed * (ssm.conv_taps + 1) + 3 * heads + channels + d
    multiplied = projections + mixed * ssm.conv_taps + 3 * channels * states + channels
    return around_layers(config, vocab_size, layer=layer, multiplied=multiplied)


def _stored(name: str, config: ModelConfig) -> Stored:
    if not name.startswith("blocks."):
        stem, kind = name.rsplit(".", 1)
        return Stored((f"{_OUTER[stem]}.{kind}",))
    _, index, inner = name.split(".", 2)
    return Stored((f"backbone.layers.{index}.{_BLOCK[inner]}",))


def _config(config: ModelConfig) -> dict[str, Any]:
    ssm = ssm_of(config)
    return {
        "architectures": ["Mamba2ForCausalLM"],
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_heads": ssm.expand * config.width // ssm.head_channels,
        "head_dim": ssm.head_channels,
        "state_size": ssm.state_size,
        "conv_kernel": ssm.conv_taps,
        "expand": ssm.expand,
        "layer_norm_epsilon": config.norm_eps,
        "use_cache": True,
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    ssm = SsmConfig(
        state_size=values["state_size"],
        conv_taps=values.get("conv_kernel", 4),
        expand=int(values.get("expand", 2)),
        head_channels=values["head_dim"],
    )
    return read_shape(values, ssm)


ARCHITECTURE = Architecture(
    bidirectional=False,
    directions=(False,),
    attends=False,
    takes=frozenset({"ssm"}),
    positions=("none", "learned"),
    ffn=lambda width: 0,
    size=_size,
    kept=kept_by_layers,
    settle=_settle,
    builder="biotrain.layers.ssm_models:Mamba2",
    style=Style(norm="rms", bias=False, feed_forward="swiglu"),
    modeling=SSM_MODELING,
    hf=HfLayout(
        model_type="mamba2",
        auto="AutoModelForCausalLM",
        tied=False,
        fits=lambda config: not config.ffn and config.position == "none",
        stored=_stored,
        config=_config,
        read=_read,
        fixed={"hidden_act": "silu", "use_bias": False, "use_conv_bias": True, "n_groups": 1},
    ),
)
