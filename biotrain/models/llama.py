"""Llama-like dense model: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases.

Llama (arXiv:2302.13971), grouped queries (arXiv:2305.13245). Causal with `rope` it is interchangeable with
transformers' `LlamaForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biotrain.models.architecture import Architecture, HfLayout, Stored, Style
from biotrain.models.config import ModelConfig
from biotrain.models.size import transformer_size

ROPE_BASE = 10_000.0

_BLOCK = {
    "norm1": "input_layernorm",
    "attention.out": "self_attn.o_proj",
    "norm2": "post_attention_layernorm",
}
_OUTER = {"tokens": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}


def _stored(name: str, config: ModelConfig) -> Stored:
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("blocks.") and ".mlp." in stem:
        _, index, _, inner = stem.split(".")
        layer = f"model.layers.{index}.mlp."
        if inner == "down":
            return Stored((f"{layer}down_proj.{kind}",))
        return Stored((f"{layer}gate_proj.{kind}", f"{layer}up_proj.{kind}"), rows=(config.ffn,) * 2)
    return attention_stored(name, config)


def attention_stored(name: str, config: ModelConfig) -> Stored:
    """Where all but the feed-forward layer is kept; the same in Llama and Mixtral."""
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blocks."):
        return Stored((f"{_OUTER[stem]}.{kind}",))
    _, index, inner = stem.split(".", 2)
    layer = f"model.layers.{index}."
    if inner == "attention.qkv":
        names = tuple(f"{layer}self_attn.{part}_proj.{kind}" for part in "qkv")
        keys = config.key_heads * config.head_width
        return Stored(names, rows=(config.width, keys, keys))
    return Stored((f"{layer}{_BLOCK[inner]}.{kind}",))


def attention_config(config: ModelConfig) -> dict[str, Any]:
    """The part of `config.json` that Llama and Mixtral share.

    `rope_theta` stands at the top: transformers 4 does not read `rope_parameters`, which transformers 5
    writes, and would silently take 10,000.
    """
    return {
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_heads,
        "head_dim": config.head_width,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "attention_dropout": config.attention_drop,
        "use_cache": True,
    }


def attention_read(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that Llama and Mixtral share."""
    rope = values.get("rope_parameters") or {}
    return {
        "layers": values["num_hidden_layers"],
        "width": values["hidden_size"],
        "heads": values["num_attention_heads"],
        "kv_heads": values.get("num_key_value_heads") or 0,
        "ffn": values["intermediate_size"],
        "context": values["max_position_embeddings"],
        "norm_eps": values.get("rms_norm_eps", 1e-6),
        "attention_dropout": values.get("attention_dropout") or None,
        "rope_base": float(values.get("rope_theta") or rope.get("rope_theta") or ROPE_BASE),
    }


def _fits(config: ModelConfig) -> bool:
    return not config.bidirectional and config.position == "rope"


def two_thirds(width: int) -> int:
    """8/3 of the width, up to a multiple of 64: three matrices as large as two of 4 x width.

    >>> two_thirds(256)
    704
    """
    return -(-8 * width // 3 // 64) * 64


ARCHITECTURE = Architecture(
    bidirectional=False,
    takes=frozenset({"heads", "kv_heads", "rope_base", "mup_base_width", "attention_dropout"}),
    positions=("rope", "alibi", "learned", "none"),
    ffn=two_thirds,
    size=transformer_size,
    style=Style(norm="rms", bias=False, feed_forward="swiglu"),
    hf=HfLayout(
        model_type="llama",
        auto="AutoModelForCausalLM",
        tied=False,
        fits=_fits,
        stored=_stored,
        config=lambda config: {
            "architectures": ["LlamaForCausalLM"],
            "pretraining_tp": 1,
            **attention_config(config),
        },
        read=attention_read,
        fixed={"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "rope_scaling": None},
    ),
)
