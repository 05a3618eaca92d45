"""GPT-2 (Radford et al. 2019): pre-norm blocks, GELU (tanh), biases, learned positions.

Causal it is interchangeable with transformers' `GPT2LMHeadModel`, whose linear layers are stored transposed.
Seeing both sides it is written with our modeling file: transformers 4 would silently run it causally.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biotrain.models.activations import hf_activation, read_activation, read_dropouts
from biotrain.models.architecture import POSITIONS, Architecture, HfLayout, Stored, Style
from biotrain.models.config import ModelConfig
from biotrain.models.size import transformer_size

_BLOCK = {
    "norm1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm2": "ln_2",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}
_OUTER = {
    "tokens": "transformer.wte",
    "positions": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
}


def _stored(name: str, config: ModelConfig) -> Stored:
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blocks."):
        return Stored((f"{_OUTER[stem]}.{kind}",))
    _, index, inner = stem.split(".", 2)
    turned = kind == "weight" and "norm" not in inner
    return Stored((f"transformer.h.{index}.{_BLOCK[inner]}.{kind}",), turned=turned)


def _config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": config.layers,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_inner": config.ffn,
        "n_positions": config.context,
        "n_ctx": config.context,
        "layer_norm_epsilon": config.norm_eps,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop"), config.dropout),
        "attn_pdrop": config.attention_drop,
        "activation_function": hf_activation(config.activation or "gelu_tanh"),
        "use_cache": True,
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "layers": values["n_layer"],
        "width": values["n_embd"],
        "heads": values["n_head"],
        "ffn": values.get("n_inner") or 0,
        "context": values["n_positions"],
        "norm_eps": values.get("layer_norm_epsilon", 1e-5),
        **read_dropouts(values, "resid_pdrop", attention="attn_pdrop", usual=0.0),
        **read_activation(values, "activation_function", "gelu_tanh"),
    }


ARCHITECTURE = Architecture(
    bidirectional=False,
    takes=frozenset({"heads", "rope_base", "mup_base_width", "attention_dropout", "activation"}),
    positions=POSITIONS,
    ffn=lambda width: 4 * width,
    size=transformer_size,
    style=Style(norm="layer", bias=True, feed_forward="gelu_tanh"),
    hf=HfLayout(
        model_type="gpt2",
        auto="AutoModelForCausalLM",
        fits=lambda config: (
            not config.bidirectional and config.position == "learned" and config.activation != "geglu"
        ),
        stored=_stored,
        config=_config,
        read=_read,
        fixed={
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False,
        },
    ),
)
