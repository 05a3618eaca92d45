"""Mamba-1 (Gu and Dao, arXiv:2312.00752): selective state spaces, causal, no positions needed.

Without a feed-forward layer (`ffn` 0) and positions it is interchangeable with transformers'
`MambaForCausalLM`. HELM's Mamba has both: a gated feed-forward layer in every block and learned positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biotrain.models.architecture import Architecture, HfLayout, Size, Stored, Style
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import (
    SSM_MODELING,
    SsmConfig,
    around_layers,
    core_multiplied,
    core_size,
    kept_by_layers,
    read_shape,
    settle_mamba,
    ssm_of,
)

_OUTER = {"tokens": "backbone.embeddings", "norm": "backbone.norm_f", "head": "lm_head"}
_BLOCK = {
    "norm1.weight": "norm.weight",
    "mixer.in_proj.weight": "mixer.in_proj.weight",
    "mixer.core.conv_weight": "mixer.conv1d.weight",
    "mixer.core.conv_bias": "mixer.conv1d.bias",
    "mixer.core.x_proj.weight": "mixer.x_proj.weight",
    "mixer.core.dt_proj.weight": "mixer.dt_proj.weight",
    "mixer.core.dt_proj.bias": "mixer.dt_proj.bias",
    "mixer.core.A_log": "mixer.A_log",
    "mixer.core.D": "mixer.D",
    "mixer.out.weight": "mixer.out_proj.weight",
}


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """Per layer, with width d and C = expand d channels: 3 d C around the core, and a norm."""
    d, ssm = config.width, ssm_of(config)
    projections = 3 * d * ssm.expand * d
    layer, multiplied = projections + core_size(d, ssm) + d, projections + core_multiplied(d, ssm)
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
        "architectures": ["MambaForCausalLM"],
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "intermediate_size": ssm.expand * config.width,
        "state_size": ssm.state_size,
        "conv_kernel": ssm.conv_taps,
        "expand": ssm.expand,
        "time_step_rank": ssm.dt_rank,
        "layer_norm_epsilon": config.norm_eps,
        "use_cache": True,
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    rank = values.get("time_step_rank", "auto")
    ssm = SsmConfig(
        state_size=values.get("state_size", 16),
        conv_taps=values.get("conv_kernel", 4),
        expand=int(values.get("expand", 2)),
        dt_rank=0 if rank == "auto" else rank,
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
    settle=settle_mamba,
    builder="biotrain.layers.ssm_models:Mamba",
    style=Style(norm="rms", bias=False, feed_forward="swiglu"),
    modeling=SSM_MODELING,
    hf=HfLayout(
        model_type="mamba",
        auto="AutoModelForCausalLM",
        fits=lambda config: not config.ffn and config.position == "none",
        stored=_stored,
        config=_config,
        read=_read,
        fixed={"hidden_act": "silu", "use_bias": False, "use_conv_bias": True},
    ),
)
