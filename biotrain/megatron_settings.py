"""What Megatron has to be told to build a model of ours. Imports no torch.

Names of megatron-core 0.16.1 (`TransformerConfig`, `GPTModel`) and of `megatron/training/arguments.py`.
"""

from __future__ import annotations

from typing import Any

from biotrain.models.config import ModelConfig, MoEConfig

SPECS = {
    "local": "get_gpt_layer_local_spec",
    "transformer_engine": "get_gpt_layer_with_transformer_engine_spec",
}
"""Implementation of layers to the function that states it."""

_POSITIONS = {"learned": "learned_absolute", "rope": "rope", "none": "none"}


def megatron_settings(config: ModelConfig, *, vocab_size: int, layers: str) -> dict[str, Any]:
    """Keyword arguments that build the model.

    Args:
        config: shape, in a form that Megatron has.
        vocab_size: tokens, special ones included.
        layers: `local` or `transformer_engine`.

    Returns:
        `activation_func`, a name of `torch.nn.functional`; `transformer_config`; `layer_spec`; `gpt_model`.
    """
    gated = config.name != "gpt2"
    return {
        "activation_func": "silu" if gated else (config.activation or "gelu").removesuffix("_tanh"),
        "transformer_config": {**_block(config), **(_experts(config, config.moe) if config.moe else {})},
        "layer_spec": _spec(config, layers),
        "gpt_model": {
            "vocab_size": vocab_size,
            "max_sequence_length": config.context,
            "position_embedding_type": _POSITIONS[config.position],
            "rotary_base": _whole(config.rope_base or 10_000.0),
            "share_embeddings_and_output_weights": config.tie_embeddings,
        },
    }


def megatron_arguments(config: ModelConfig, *, layers: str) -> list[str] | None:
    """The model in the words of Megatron-LM's `pretrain_gpt.py`; `None` where it has none for the activation.

    Args:
        config: shape, in a form that Megatron has.
        layers: `local` or `transformer_engine`.
    """
    said: dict[str, Any] = {
        "num-layers": config.layers,
        "hidden-size": config.width,
        "ffn-hidden-size": config.ffn,
        "num-attention-heads": config.heads,
        "max-position-embeddings": config.context,
        "seq-length": config.context,
        "position-embedding-type": _POSITIONS[config.position],
        "norm-epsilon": config.norm_eps,
        "attention-dropout": config.attention_drop,
        "hidden-dropout": config.dropout,
        "init-method-std": config.init_std,
        "make-vocab-size-divisible-by": 1,
        "transformer-impl": layers,
    }
    if config.position == "rope":
        said["rotary-base"] = _whole(config.rope_base or 10_000.0)
    if config.name != "gpt2":
        said |= {"normalization": "RMSNorm", "swiglu": None, "disable-bias-linear": None,
                 "group-query-attention": None, "num-query-groups": config.key_heads}  # fmt: skip
    if config.moe is not None:
        said |= {name.replace("_", "-"): value for name, value in _experts(config, config.moe).items()}
        said["num-experts"] = said.pop("num-moe-experts")
    if config.activation in ("relu", "silu"):
        return None
    if config.activation == "gelu":
        said["no-bias-gelu-fusion"] = None
    if not config.tie_embeddings:
        said["untie-embeddings-and-output-weights"] = None
    return [word for name, value in said.items() for word in (f"--{name}", value) if word is not None]


def _block(config: ModelConfig) -> dict[str, Any]:
    gated = config.name != "gpt2"
    return {
        "num_layers": config.layers,
        "hidden_size": config.width,
        "ffn_hidden_size": config.ffn,
        "num_attention_heads": config.heads,
        "num_query_groups": config.key_heads,
        "normalization": "RMSNorm" if gated else "LayerNorm",
        "layernorm_epsilon": config.norm_eps,
        "gated_linear_unit": gated,
        "add_bias_linear": not gated,
        # Megatron's gelu is the tanh form where bias and activation are fused, and the exact one elsewhere
        "bias_activation_fusion": not gated and config.activation in (None, "gelu_tanh"),
        "rotary_interleaved": False,
        "hidden_dropout": config.dropout,
        "attention_dropout": config.attention_drop,
        "init_method_std": config.init_std,
    }


def _experts(config: ModelConfig, moe: MoEConfig) -> dict[str, Any]:
    return {
        "num_moe_experts": moe.experts,
        "moe_router_topk": moe.top_k,
        "moe_ffn_hidden_size": config.ffn,
        "moe_router_load_balancing_type": "aux_loss",
        "moe_aux_loss_coeff": moe.balance_loss,
        "moe_z_loss_coeff": moe.z_loss,
        "moe_router_dtype": "fp32",
    }


def _spec(config: ModelConfig, layers: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "num_experts": config.moe.experts if config.moe else None,
        "moe_grouped_gemm": False,
    }
    if layers == "local" and config.name != "gpt2":
        spec["normalization"] = "RMSNorm"
    return spec


def _whole(number: float) -> int | float:
    """Megatron takes a whole number as the base; another is left as it is."""
    return int(number) if float(number).is_integer() else number
