"""A trained model as weights of Megatron-core's `GPTModel`, nothing pickled.

    OUT/model.safetensors       the state of a GPTModel of tensor, pipeline and expert parallel size 1
    OUT/megatron_config.json    keyword arguments of TransformerConfig, the layer spec and GPTModel, and the
                                same as arguments of Megatron-LM's pretrain_gpt.py
    OUT/README.md               how to load it

Megatron's own checkpoints hold pickled parts (`common.pt`, `.metadata`) and are therefore not written. Read
in megatron-core 0.16.1 (`core/transformer/attention.py`, `mlp.py`, `moe/experts.py`): `linear_qkv` has, for
each group of heads, the queries of its heads, its key and its value; `linear_fc1` has the gate, then what is
gated; rotary positions are half-split (`rotary_interleaved` False), as ours.

Shapes: D width, H heads, G groups of them, d = D / H, F inner width, E experts.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import biodata
from biodata.errors import ConfigError
from biodata.files import atomic_path, write_json, write_text
from biotrain.export import WEIGHTS_FILE, load_model, model_folder
from biotrain.export_config import MEGATRON_LAYERS, ModelExportConfig
from biotrain.megatron_settings import SPECS, megatron_arguments, megatron_settings
from biotrain.models import ModelConfig
from biotrain.mup import as_usual
from biotrain.stored import save_tensors

SETTINGS_FILE = "megatron_config.json"
_OUTER = {
    "tokens": "embedding.word_embeddings",
    "positions": "embedding.position_embeddings",
    "norm": "decoder.final_layernorm",
    "head": "output_layer",
}
_BLOCK = {
    "norm1": "input_layernorm",
    "attention.qkv": "self_attention.linear_qkv",
    "attention.out": "self_attention.linear_proj",
    "norm2": "pre_mlp_layernorm",
    "mlp.up": "mlp.linear_fc1",
    "mlp.gate_up": "mlp.linear_fc1",
    "mlp.down": "mlp.linear_fc2",
    "mlp.router": "mlp.router",
}
_FUSED = {"input_layernorm.": "self_attention.linear_qkv.layer_norm_",
          "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_"}  # fmt: skip
"""Norms that TransformerEngine's linear layers hold themselves."""


def export_megatron(config: ModelExportConfig) -> dict[str, Any]:
    """Writes a GPT-2-, Llama- or Mixtral-shaped causal model for Megatron-core.

    Args:
        config: what, where, and of which layers.

    Returns:
        `model` and `parameters`.

    Raises:
        ConfigError: Megatron has no form of the model.
        DataError: no model there, or a damaged one.
    """
    layers = config.layers or MEGATRON_LAYERS[0]
    model = load_model(config.run)
    check_form(model.config)
    weights, shape = as_usual(model.state_dict(), model.config)
    tensors = to_megatron(weights, shape, layers=layers)
    config.out.mkdir(parents=True, exist_ok=True)
    _copy_tokenizer(model_folder(config.run), config.out)
    with atomic_path(config.out / WEIGHTS_FILE) as part:
        save_tensors(tensors, part)
    settings = megatron_settings(shape, vocab_size=model.vocab_size, layers=layers)
    write_text(config.out / "README.md", _card(shape, layers))
    arguments = megatron_arguments(shape, layers=layers)
    write_json(
        config.out / SETTINGS_FILE, {"seqloom": biodata.__version__, **settings, "arguments": arguments}
    )
    return {"model": shape.name, "parameters": sum(tensor.numel() for tensor in tensors.values())}


def check_form(config: ModelConfig) -> None:
    """Refuses what Megatron's GPTModel cannot compute.

    Args:
        config: of the model.

    Raises:
        ConfigError: another architecture, one that sees both sides, ALiBi, GeGLU, or one expert for a token.
    """
    if config.name not in ("gpt2", "llama", "moe"):
        raise ConfigError(f"model {config.name!r} has no form in Megatron's GPTModel (gpt2, llama, moe have)")
    if config.bidirectional:
        raise ConfigError(f"Megatron's GPTModel is causal, but this {config.name} sees both sides: --to hf")
    if config.position == "alibi":
        allowed = "learned, rope, none"
        raise ConfigError(f"Megatron's GPTModel has no position 'alibi' (allowed: {allowed}): --to hf")
    if config.activation == "geglu":
        raise ConfigError("Megatron's GPTModel has biases before every gate or none after: no geglu: --to hf")
    if config.moe is not None and config.moe.top_k == 1:
        raise ConfigError(
            "Megatron's router with top_k 1 weighs by the softmax over all experts, ours by 1: --to hf"
        )


def to_megatron(
    state: Mapping[str, Tensor], config: ModelConfig, *, layers: str = MEGATRON_LAYERS[0]
) -> dict[str, Tensor]:
    """Our weights under Megatron's names; a tied output layer is left out.

    Args:
        state: ours, of the usual parametrisation (no muP).
        config: shape.
        layers: `local` or `transformer_engine`.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "head.weight" and config.tie_embeddings:
            continue
        for key, tensor in _placed(name, value.detach().cpu(), config):
            if layers == "transformer_engine":
                key = _fused(key, experts=config.moe is not None)
            tensors[key] = tensor.contiguous().clone()
    return tensors


def by_groups(qkv: Tensor, config: ModelConfig) -> Tensor:
    """Rows [all queries; all keys; all values] to, for each group, [its queries; its key; its value].

    Args:
        qkv: [(H + 2 G) d, ...].
        config: shape.

    >>> config = ModelConfig(name="llama", position="learned", width=4, heads=4, kv_heads=2)
    >>> by_groups(torch.arange(8), config).tolist()
    [0, 1, 4, 6, 2, 3, 5, 7]
    """
    groups, wide, rest = config.key_heads, config.head_width, qkv.shape[1:]
    queries = config.heads * wide
    keys = groups * wide
    parts = [part.reshape(groups, -1, *rest) for part in qkv.split((queries, keys, keys))]
    return torch.cat(parts, 1).flatten(0, 1)


def _placed(name: str, value: Tensor, config: ModelConfig) -> list[tuple[str, Tensor]]:
    """A tensor of ours as one of Megatron's, or, of experts, as one for each."""
    if not name.startswith("blocks."):
        stem, kind = name.rsplit(".", 1)
        return [(f"{_OUTER[stem]}.{kind}", value)]
    _, index, inner = name.split(".", 2)
    layer = f"decoder.layers.{index}."
    if inner in ("mlp.gate_up", "mlp.down"):  # of experts: one tensor for all, without `.weight`
        end = _BLOCK[inner].removeprefix("mlp.")
        return [
            (f"{layer}mlp.experts.local_experts.{e}.{end}.weight", one)
            for e, one in enumerate(value.unbind())
        ]
    stem, kind = inner.rsplit(".", 1)
    value = by_groups(value, config) if stem == "attention.qkv" else value
    return [(f"{layer}{_BLOCK[stem]}.{kind}", value)]


def _fused(key: str, *, experts: bool) -> str:
    for norm, held in _FUSED.items():
        if norm in key and not (experts and norm.startswith("pre_mlp")):  # a router reads its norm apart
            return key.replace(norm, held)
    return key


def _copy_tokenizer(source: Path, out: Path) -> None:
    for file in sorted((*source.glob("*token*.json"), *source.glob("*.model"))):
        with atomic_path(out / file.name) as part:
            shutil.copyfile(file, part)


def _card(config: ModelConfig, layers: str) -> str:
    return f"""# Weights for Megatron-core

A {config.name} written by seqloom {biodata.__version__}. After `initialize_model_parallel`, with sizes of 1:

```python
import json

import torch
from megatron.core.models.gpt.gpt_layer_specs import {SPECS[layers]}
from megatron.core.models.gpt.gpt_model import GPTModel
from megatron.core.transformer.transformer_config import TransformerConfig
from safetensors.torch import load_file

said = json.load(open("{SETTINGS_FILE}"))
activation = getattr(torch.nn.functional, said["activation_func"])
config = TransformerConfig(activation_func=activation, **said["transformer_config"])
spec = {SPECS[layers]}(**said["layer_spec"])
model = GPTModel(config, spec, **said["gpt_model"])
missing, left = model.load_state_dict(load_file("{WEIGHTS_FILE}"), strict=False)
assert not left and all(name.endswith("_extra_state") for name in missing)
```

`arguments` in `{SETTINGS_FILE}` is the same model for `pretrain_gpt.py` of Megatron-LM (null where it has no
word for the activation). Its data are written by `seqloom data export --to megatron`.
"""
