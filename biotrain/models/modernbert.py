"""ModernBERT (Warner et al., arXiv:2412.13663): pre-norm without biases, RoPE, GeGLU, most attention local.

Interchangeable with transformers' `ModernBertForMaskedLM`; its dropout in the feed-forward layer stands
before the last matrix, ours after it. Published models have `rope_base` 160000 in the global layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biodata.errors import ConfigError
from biotrain.models.activations import read_dropouts
from biotrain.models.architecture import Architecture, HfLayout, Size, Stored, Style
from biotrain.models.config import ModelConfig
from biotrain.models.modern_config import ModernConfig
from biotrain.models.size import transformer_size

_BLOCK = {
    "norm1": "attn_norm",
    "mixer.qkv": "attn.Wqkv",
    "mixer.out": "attn.Wo",
    "norm2": "mlp_norm",
    "mlp.gate_up": "mlp.Wi",
    "mlp.down": "mlp.Wo",
}
_OUTER = {
    "tokens": "model.embeddings.tok_embeddings",
    "embedding_norm": "model.embeddings.norm",
    "norm": "model.final_norm",
    "transform": "head.dense",
    "transform_norm": "head.norm",
    "head": "decoder",
}


def _stored(name: str, config: ModelConfig) -> Stored:
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blocks."):
        return Stored((f"{_OUTER[stem]}.{kind}",))
    _, index, inner = stem.split(".", 2)
    return Stored((f"model.layers.{index}.{_BLOCK[inner]}.{kind}",))


def _config(config: ModelConfig) -> dict[str, Any]:
    assert config.modern is not None
    return {
        "architectures": ["ModernBertForMaskedLM"],
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "norm_eps": config.norm_eps,
        "global_attn_every_n_layers": config.modern.global_every,
        "local_attention": config.modern.local_attention,
        "global_rope_theta": config.rope_base,
        "local_rope_theta": config.modern.local_rope_base,
        **dict.fromkeys(("embedding_dropout", "mlp_dropout"), config.dropout),
        "attention_dropout": config.attention_drop,
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    rope = values.get("rope_parameters") or {}
    far, near = (rope.get(kind) or {} for kind in ("full_attention", "sliding_attention"))
    return {
        "layers": values["num_hidden_layers"],
        "width": values["hidden_size"],
        "heads": values["num_attention_heads"],
        "ffn": values["intermediate_size"],
        "context": values["max_position_embeddings"],
        "norm_eps": values.get("norm_eps", 1e-5),
        **read_dropouts(values, "mlp_dropout", attention="attention_dropout", usual=0.0),
        "rope_base": float(values.get("global_rope_theta") or far.get("rope_theta") or 160_000.0),
        "modern": ModernConfig(
            local_attention=values.get("local_attention", 128),
            global_every=_global_every(values),
            local_rope_base=float(values.get("local_rope_theta") or near.get("rope_theta") or 10_000.0),
        ),
    }


def _global_every(values: Mapping[str, Any]) -> int:
    """From transformers 4's number or transformers 5's list of layers.

    Raises:
        ConfigError: a list that is not of every n-th layer.
    """
    kinds = values.get("layer_types")
    if kinds is None:
        return values.get("global_attn_every_n_layers", 3)
    far = [kind == "full_attention" for kind in kinds]
    every = next((place for place in range(1, len(far)) if far[place]), len(far))
    if far != [place % every == 0 for place in range(len(far))]:
        raise ConfigError("layer_types must have full_attention in every n-th layer from the first")
    return every


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """A transformer's, the norm of the embedding for that of the first attention, and a larger head; in a
    local layer a token meets the same number of tokens whatever the length."""
    base, d, modern = transformer_size(config, vocab_size), config.width, config.modern
    assert modern is not None
    more, far = d * d + d + vocab_size, -(-config.layers // modern.global_every)
    near = 2 * (config.layers - far) * d * min(modern.local_attention + 1, config.context)
    return base._replace(
        total=base.total + more,
        active=base.active + more,
        multiplied=base.multiplied + d * d + near,
        mixing=2 * far * d,
    )


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    takes=frozenset({"heads", "rope_base", "attention_dropout", "modern"}),
    positions=("rope",),
    ffn=lambda width: 3 * width // 2,
    size=_size,
    builder="biotrain.layers.modern:ModernBert",
    style=Style(norm="layer_unbiased", bias=False, feed_forward="geglu"),
    attends=False,
    hf=HfLayout(
        model_type="modernbert",
        auto="AutoModelForMaskedLM",
        fits=lambda config: True,
        stored=_stored,
        config=_config,
        read=_read,
        fixed={
            **dict.fromkeys(("hidden_activation", "classifier_activation"), "gelu"),
            **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False),
            "decoder_bias": True,
        },
    ),
)
