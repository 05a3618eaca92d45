"""The names and shapes that transformers gives to our weights, and the `config.json` beside them.

An architecture that transformers computes the same is written as that class (`Architecture.hf`). What it has
no class for in every version gets its own `model_type` and a modeling file beside the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biodata.configs import from_dict
from biodata.errors import ConfigError, DataError
from biodata.tokenizers.special import BOS, EOS, MASK, PAD
from biotrain.models import MODELS, ModelConfig
from biotrain.models.architecture import HfLayout, Stored

OWN_TYPE = "seqloom"


def native(config: ModelConfig) -> HfLayout | None:
    """The class of transformers that computes this configuration; `None` = our modeling file does."""
    layout = config.architecture.hf
    return layout if layout is not None and layout.fits(config) else None


def stored(name: str, config: ModelConfig, layout: HfLayout | None = None) -> Stored:
    """Where a parameter of ours stands in the file.

    Args:
        name: ours.
        config: shape.
        layout: of the file; `None` = the configuration's.

    >>> stored("blocks.3.attention.qkv.bias", ModelConfig(name="gpt2")).names
    ('transformer.h.3.attn.c_attn.bias',)
    """
    layout = layout or native(config)
    if layout is None:
        return Stored((name if name.startswith("head.") else f"model.{name}",))
    return layout.stored(name, config)


def to_hf(
    state: Mapping[str, Tensor], config: ModelConfig, *, layout: HfLayout | None = None
) -> dict[str, Tensor]:
    """Our weights under transformers' names; a tied output layer is left out.

    Args:
        state: ours.
        config: shape.
        layout: of the file; `None` = the configuration's.
    """
    layout = layout or native(config)
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == "head.weight" and config.tie_embeddings:
            continue
        place, tensor = stored(name, config, layout), tensor.detach().cpu()
        tensor = tensor.t() if place.turned else tensor
        pieces = tensor.flatten(0, -2).split(place.rows) if place.rows and tensor.ndim > 1 else [tensor]
        if place.rows and tensor.ndim == 1:
            pieces = tensor.split(place.rows)
        tensors |= {key: piece.contiguous().clone() for key, piece in zip(place.names, pieces)}
    if layout is not None:
        tensors |= {key: torch.zeros(shape) for key, shape in layout.zeros(config).items()}
        tensors |= {key: tensors[other].clone() for key, other in layout.copies(config).items()}
    return tensors


def from_hf(
    tensors: Mapping[str, Tensor],
    like: Mapping[str, Tensor],
    config: ModelConfig,
    *,
    layout: HfLayout | None = None,
) -> dict[str, Tensor]:
    """Weights under transformers' names back under ours, in float32.

    Args:
        tensors: what the file holds.
        like: the state of a model of this configuration; gives names and shapes.
        config: shape.
        layout: of the file; `None` = the configuration's.

    Raises:
        DataError: a tensor is missing, left over, or of another shape.
    """
    layout = layout or native(config)
    names = [n for n in like if n != "head.weight" or not config.tie_embeddings]
    places = {name: stored(name, config, layout) for name in names}
    _check_left_over(tensors, places, config, layout)
    state = {name: _join(tensors, places[name], like[name]) for name in names}
    if layout is not None and "positions.weight" in state:
        for key in layout.zeros(config):  # BERT's segment 0 is added everywhere
            if key in tensors:
                state["positions.weight"] = state["positions.weight"] + tensors[key][:1].float()
    if config.tie_embeddings and "head.weight" in like:
        state["head.weight"] = state["tokens.weight"]
    return state


def _check_left_over(
    tensors: Mapping[str, Tensor],
    places: Mapping[str, Stored],
    config: ModelConfig,
    layout: HfLayout | None,
) -> None:
    known = {key for place in places.values() for key in place.names}
    if layout is not None:
        known.update(layout.zeros(config), layout.copies(config), layout.unread)
    if extra := sorted(set(tensors) - known):
        raise DataError(f"tensor {extra[0]!r} does not belong to a {config.name} of this configuration")


def _join(tensors: Mapping[str, Tensor], place: Stored, like: Tensor) -> Tensor:
    for name in place.names:
        if name not in tensors:
            raise DataError(f"tensor {name!r} is missing")
    pieces = [tensors[name].float() for name in place.names]
    rows = place.rows or (like.flatten(0, -2).shape[0] if like.ndim > 1 else like.shape[0],)
    for name, piece, height in zip(place.names, pieces, rows):
        expected = (height, *like.shape[-1:]) if place.rows and like.ndim > 1 else tuple(like.shape)
        expected = (height,) if place.rows and like.ndim == 1 else expected
        expected = expected[::-1] if place.turned else expected
        if tuple(piece.shape) != expected:
            raise DataError(f"tensor {name!r} has shape {tuple(piece.shape)}, expected {expected}")
    whole = torch.cat(pieces) if place.rows else pieces[0]
    return (whole.t() if place.turned else whole).reshape(like.shape).contiguous()


def to_hf_config(config: ModelConfig, vocab_size: int, *, layout: HfLayout | None = None) -> dict[str, Any]:
    """The `config.json` of a model, of the configuration's layout unless another is given.

    Args:
        config: of the model.
        vocab_size: tokens, special ones included.
        layout: that of a class of transformers, None for the one that fits, if there is one.
    """
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
    if config.bidirectional:
        common["mask_token_id"] = MASK
    if layout := layout or native(config):
        return {"model_type": layout.model_type, **layout.config(config), **layout.fixed, **common}
    return {**_own_config(config), **common}


def from_hf_config(values: Mapping[str, Any], where: Path) -> tuple[ModelConfig, int]:
    """The configuration and vocabulary size that a `config.json` states.

    Raises:
        DataError: another kind of model, a variant we do not compute, or a missing key.
    """
    kind = values.get("model_type")
    try:
        if "seqloom" in values and str(kind).startswith(OWN_TYPE):
            return from_dict(ModelConfig, values["seqloom"], where=str(where)), int(values["vocab_size"])
        for name in MODELS:
            layout = MODELS.load(name).hf
            if layout is not None and layout.model_type == kind:
                return _native_config(name, layout, values, where), int(values["vocab_size"])
    except KeyError as error:
        raise DataError(f"key {error.args[0]!r} is missing", where=where) from None
    except ConfigError as error:
        raise DataError(str(error), where=where) from None
    known = [layout.model_type for name in MODELS if (layout := MODELS.load(name).hf)]
    readable = ", ".join(repr(name) for name in (*known, OWN_TYPE))
    raise DataError(f"model_type {kind!r}", where=where, hint=f"readable: {readable}")


def _native_config(name: str, layout: HfLayout, values: Mapping[str, Any], where: Path) -> ModelConfig:
    for key, value in layout.fixed.items():
        if values.get(key, value) != value:
            raise DataError(f"{key} {values[key]!r} is not supported", where=where, hint=f"only {value!r} is")
    config = ModelConfig(
        name=name,
        tie_embeddings=values.get("tie_word_embeddings", layout.tied),
        init_std=values.get("initializer_range", 0.02),
        **layout.read(values),
    )
    if config.heads and values.get("head_dim", config.head_width) not in (None, config.head_width):
        hint = f"only {config.head_width}, hidden_size / num_attention_heads, is"
        raise DataError(f"head_dim {values['head_dim']!r} is not supported", where=where, hint=hint)
    return config


def _own_config(config: ModelConfig) -> dict[str, Any]:
    (module, prefix, kind), style = config.architecture.modeling, config.architecture.style
    assert style is not None
    head = f"{prefix}ForMaskedLM" if config.bidirectional else f"{prefix}ForCausalLM"
    auto = "AutoModelForMaskedLM" if config.bidirectional else "AutoModelForCausalLM"
    if config.image is not None:  # no vocabulary to give logits of
        head, auto = f"{prefix}Model", "AutoModel"
    return {
        "architectures": [head],
        "model_type": kind,
        "auto_map": {
            "AutoConfig": f"{module}.{prefix}Config",
            "AutoModel": f"{module}.{prefix}Model",
            auto: f"{module}.{head}",
        },
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "is_decoder": not config.bidirectional,
        "style": asdict(style) | ({"feed_forward": config.activation} if config.activation else {}),
        "seqloom": asdict(config),
    }
