"""Sparse mixture of experts: the Llama-like block with SwiGLU experts, of which each token visits `top_k`.

Mixtral (arXiv:2401.04088): the router, computed in float32, takes the top k logits and softmaxes these. With
`rope` and causal it is interchangeable with transformers' `MixtralForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biotrain.models.architecture import Architecture, HfLayout, Stored, Style
from biotrain.models.config import ModelConfig, MoEConfig
from biotrain.models.llama import attention_config, attention_read, attention_stored
from biotrain.models.size import transformer_size


def _stored(name: str, config: ModelConfig) -> Stored:
    if ".mlp." not in name:
        return attention_stored(name, config)
    _, index, _, inner = name.split(".", 3)
    layer = f"model.layers.{index}.block_sparse_moe."
    if inner == "router.weight":
        return Stored((f"{layer}gate.weight",))
    experts = range(_moe(config).experts)
    if inner == "down":
        names = tuple(f"{layer}experts.{e}.w2.weight" for e in experts)
        return Stored(names, rows=(config.width,) * len(names))
    names = tuple(f"{layer}experts.{e}.{w}.weight" for e in experts for w in ("w1", "w3"))
    return Stored(names, rows=(config.ffn,) * len(names))


def _config(config: ModelConfig) -> dict[str, Any]:
    moe = _moe(config)
    return {
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": moe.experts,
        "num_experts_per_tok": moe.top_k,
        "router_aux_loss_coef": moe.balance_loss * config.layers / moe.top_k,
        "output_router_logits": False,
        **attention_config(config),
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    top_k = values["num_experts_per_tok"]
    coefficient = values.get("router_aux_loss_coef", 0.0) * top_k / values["num_hidden_layers"]
    moe = MoEConfig(experts=values["num_local_experts"], top_k=top_k, balance_loss=coefficient)
    return {**attention_read(values), "moe": moe}


def _fits(config: ModelConfig) -> bool:
    return not config.bidirectional and config.position == "rope"


def _moe(config: ModelConfig) -> MoEConfig:
    assert config.moe is not None  # `ModelConfig` fills it in
    return config.moe


ARCHITECTURE = Architecture(
    bidirectional=False,
    takes=frozenset({"heads", "kv_heads", "rope_base", "mup_base_width", "attention_dropout", "moe"}),
    positions=("rope", "alibi", "learned", "none"),
    ffn=lambda width: 2 * width,
    size=transformer_size,
    style=Style(norm="rms", bias=False, feed_forward="experts"),
    hf=HfLayout(
        model_type="mixtral",
        auto="AutoModelForCausalLM",
        tied=False,
        fits=_fits,
        stored=_stored,
        config=_config,
        read=_read,
        fixed={
            "hidden_act": "silu",
            "sliding_window": None,
            "router_jitter_noise": 0.0,
            "rope_scaling": None,
        },
    ),
)
