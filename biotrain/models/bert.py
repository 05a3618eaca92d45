"""BERT (Devlin et al., arXiv:1810.04805): post-norm blocks, exact GELU, learned positions, a larger head.

Interchangeable with transformers' `BertForMaskedLM` (causal: `BertLMHeadModel`). We have no segments: the row
of segment 0, which BERT adds everywhere, is zero when written and is added to the positions when read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biotrain.models.activations import hf_activation, read_activation, read_dropouts
from biotrain.models.architecture import POSITIONS, Architecture, HfLayout, Stored, Style
from biotrain.models.config import ModelConfig
from biotrain.models.size import transformer_size

SEGMENTS = "bert.embeddings.token_type_embeddings.weight"

_BLOCK = {
    "attention.out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "mlp.up": "intermediate.dense",
    "mlp.down": "output.dense",
    "norm2": "output.LayerNorm",
}
_OUTER = {
    "tokens": "bert.embeddings.word_embeddings",
    "positions": "bert.embeddings.position_embeddings",
    "norm": "bert.embeddings.LayerNorm",
    "transform": "cls.predictions.transform.dense",
    "transform_norm": "cls.predictions.transform.LayerNorm",
    "head": "cls.predictions.decoder",
}


def _stored(name: str, config: ModelConfig) -> Stored:
    stem, kind = name.rsplit(".", 1)
    if name == "head.bias":
        return Stored(("cls.predictions.bias",))
    if not stem.startswith("blocks."):
        return Stored((f"{_OUTER[stem]}.{kind}",))
    _, index, inner = stem.split(".", 2)
    layer = f"bert.encoder.layer.{index}."
    if inner == "attention.qkv":
        names = tuple(f"{layer}attention.self.{part}.{kind}" for part in ("query", "key", "value"))
        return Stored(names, rows=(config.width,) * 3)
    return Stored((f"{layer}{_BLOCK[inner]}.{kind}",))


def _config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["BertForMaskedLM" if config.bidirectional else "BertLMHeadModel"],
        "is_decoder": not config.bidirectional,
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "type_vocab_size": 1,
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_drop,
        "hidden_act": hf_activation(config.activation or "gelu"),
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bidirectional": not values.get("is_decoder", False),
        "layers": values["num_hidden_layers"],
        "width": values["hidden_size"],
        "heads": values["num_attention_heads"],
        "ffn": values["intermediate_size"],
        "context": values["max_position_embeddings"],
        "norm_eps": values.get("layer_norm_eps", 1e-12),
        **read_dropouts(values, "hidden_dropout_prob", attention="attention_probs_dropout_prob", usual=0.1),
        **read_activation(values, "hidden_act", "gelu"),
    }


ARCHITECTURE = Architecture(
    bidirectional=True,
    takes=frozenset({"heads", "rope_base", "mup_base_width", "attention_dropout", "activation"}),
    positions=POSITIONS,
    ffn=lambda width: 4 * width,
    size=transformer_size,
    style=Style(norm="layer", bias=True, feed_forward="gelu", post_norm=True),
    hf=HfLayout(
        model_type="bert",
        auto="AutoModelForMaskedLM",
        fits=lambda config: config.position == "learned" and config.activation != "geglu",
        stored=_stored,
        config=_config,
        read=_read,
        fixed={"position_embedding_type": "absolute", "add_cross_attention": False},
        unread=frozenset(
            {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "bert.embeddings.position_ids"}
        ),
        zeros=lambda config: {SEGMENTS: (1, config.width)},
        copies=lambda config: (
            {} if config.tie_embeddings else {"cls.predictions.decoder.bias": "cls.predictions.bias"}
        ),
    ),
)
