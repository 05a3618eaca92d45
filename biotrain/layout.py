"""The names and shapes that transformers gives to our weights, and the `config.json` beside them.

A causal model is written as `GPT2LMHeadModel`, whose linear layers are stored transposed. The
two-directional one has no class of the same arithmetic in every transformers version (version 4 would
silently run GPT-2 causally), so it gets its own `model_type` and `modeling_seqloom.py` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from biodata.errors import DataError
from biodata.tokenizers.special import BOS, EOS, MASK, PAD
from biotrain.models import ModelConfig

ENCODER_TYPE = "seqloom-encoder"
MODELING_FILE = "modeling_seqloom.py"

_GPT2_BLOCK = {
    "norm1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm2": "ln_2",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}
_GPT2_OUTER = {
    "tokens": "transformer.wte",
    "positions": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
}
_GPT2_FIXED = {
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}


def hf_name(name: str, model: str) -> str:
    """The name that transformers gives to a parameter of ours.

    >>> hf_name("blocks.3.attention.qkv.bias", "gpt2"), hf_name("tokens.weight", "bert")
    ('transformer.h.3.attn.c_attn.bias', 'encoder.tokens.weight')
    """
    if model == "bert":
        return name if name.startswith("head.") else f"encoder.{name}"
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blocks."):
        return f"{_GPT2_OUTER[stem]}.{kind}"
    _, index, inner = stem.split(".", 2)
    return f"transformer.h.{index}.{_GPT2_BLOCK[inner]}.{kind}"


def to_hf(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our weights under transformers' names; a tied output layer is left out."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == "head.weight" and config.tie_embeddings:
            continue
        turned = tensor.t() if _is_transposed(name, config) else tensor
        tensors[hf_name(name, config.name)] = turned.detach().cpu().contiguous()
    return tensors


def from_hf(
    tensors: Mapping[str, Tensor], like: Mapping[str, Tensor], config: ModelConfig
) -> dict[str, Tensor]:
    """Weights under transformers' names back under ours, in float32.

    Args:
        tensors: what the file holds.
        like: the state of a model of this configuration; gives names and shapes.
        config: shape.

    Raises:
        DataError: a tensor is missing, left over, or of another shape.
    """
    state: dict[str, Tensor] = {}
    names = {n: hf_name(n, config.name) for n in like if n != "head.weight" or not config.tie_embeddings}
    if extra := sorted(set(tensors).difference(names.values())):
        raise DataError(f"tensor {extra[0]!r} does not belong to a {config.name} of this configuration")
    for name, stored in names.items():
        if stored not in tensors:
            raise DataError(f"tensor {stored!r} is missing")
        tensor = tensors[stored].t() if _is_transposed(name, config) else tensors[stored]
        if tensor.shape != like[name].shape:
            expected = tuple(like[name].t().shape if _is_transposed(name, config) else like[name].shape)
            raise DataError(
                f"tensor {stored!r} has shape {tuple(tensors[stored].shape)}, expected {expected}"
            )
        state[name] = tensor.float().contiguous()
    if config.tie_embeddings:
        state["head.weight"] = state["tokens.weight"]
    return state


def to_hf_config(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    """The `config.json` of a model."""
    common = {
        "vocab_size": vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        "initializer_range": config.init_std,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "torch_dtype": "float32",
        "dtype": "float32",
    }
    if config.name == "bert":
        return {**_encoder_config(config), **common, "mask_token_id": MASK}
    shape = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_layer": config.layers,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_inner": config.ffn,
        "n_positions": config.context,
        "n_ctx": config.context,
        "layer_norm_epsilon": config.layer_norm_eps,
    }
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout)
    return {**shape, **_GPT2_FIXED, **dropout, "use_cache": True, **common}


def from_hf_config(values: Mapping[str, Any], where: Path) -> tuple[ModelConfig, int]:
    """The configuration and vocabulary size that a `config.json` states.

    Raises:
        DataError: another kind of model, a variant we do not compute, or a missing key.
    """
    kind = values.get("model_type")
    if kind not in ("gpt2", ENCODER_TYPE):
        raise DataError(f"model_type {kind!r}", where=where, hint=f"readable: 'gpt2', {ENCODER_TYPE!r}")
    for key, value in (_GPT2_FIXED if kind == "gpt2" else {}).items():
        if values.get(key, value) != value:
            raise DataError(f"{key} {values[key]!r} is not supported", where=where, hint=f"only {value!r} is")
    try:
        config = _gpt2_shape(values) if kind == "gpt2" else _encoder_shape(values)
        return config, int(values["vocab_size"])
    except KeyError as error:
        raise DataError(f"key {error.args[0]!r} is missing", where=where) from None


def _is_transposed(name: str, config: ModelConfig) -> bool:
    return config.name == "gpt2" and name.startswith("blocks.") and name.endswith(_LINEAR)


_LINEAR = ("attention.qkv.weight", "attention.out.weight", "up.weight", "down.weight")


def _gpt2_shape(values: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(
        name="gpt2",
        layers=values["n_layer"],
        width=values["n_embd"],
        heads=values["n_head"],
        ffn=values.get("n_inner") or 0,
        context=values["n_positions"],
        dropout=values.get("resid_pdrop", 0.0),
        tie_embeddings=values.get("tie_word_embeddings", True),
        layer_norm_eps=values.get("layer_norm_epsilon", 1e-5),
        init_std=values.get("initializer_range", 0.02),
    )


def _encoder_shape(values: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(
        name="bert",
        layers=values["num_hidden_layers"],
        width=values["hidden_size"],
        heads=values["num_attention_heads"],
        ffn=values["intermediate_size"],
        context=values["max_position_embeddings"],
        dropout=values["dropout"],
        tie_embeddings=values["tie_word_embeddings"],
        layer_norm_eps=values["layer_norm_eps"],
        init_std=values["initializer_range"],
    )


def _encoder_config(config: ModelConfig) -> dict[str, Any]:
    module = MODELING_FILE.removesuffix(".py")
    return {
        "architectures": ["SeqloomForMaskedLM"],
        "model_type": ENCODER_TYPE,
        "auto_map": {
            "AutoConfig": f"{module}.SeqloomConfig",
            "AutoModel": f"{module}.SeqloomModel",
            "AutoModelForMaskedLM": f"{module}.SeqloomForMaskedLM",
        },
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "layer_norm_eps": config.layer_norm_eps,
        "dropout": config.dropout,
    }
