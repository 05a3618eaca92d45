"""ELECTRA (Clark et al., arXiv:2003.10555): a narrow generator and a discriminator, both BERT's encoder.

Tables of tokens and positions and their norm are shared, as in ELECTRA's code; disentangled embeddings are
DeBERTaV3's. With learned positions the two are interchangeable with transformers' `ElectraForPreTraining` and
`ElectraForMaskedLM`; for other positions `modeling_electra.py` has both. They are stored apart, each as a
model of its own (`biotrain.pair_layout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from biotrain.models.activations import read_dropouts
from biotrain.models.architecture import (
    Architecture,
    HfLayout,
    Modeling,
    Stored,
    Style,
    kept_by_transformer,
)
from biotrain.models.config import ModelConfig
from biotrain.models.pair_config import PairConfig, complete_pair, generator_shape, pair_size

PAIR_POSITIONS = ("learned", "rope", "alibi", "relative")
PAIR_STYLE = Style(norm="layer", bias=True, feed_forward="gelu", post_norm=True)
OWN = Modeling("modeling_electra", "SeqloomElectra", "seqloom_electra")

_BLOCK = {
    "attention.out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "mlp.up": "intermediate.dense",
    "mlp.down": "output.dense",
    "norm2": "output.LayerNorm",
}
_OUTER = {
    "tokens": "electra.embeddings.word_embeddings",
    "positions": "electra.embeddings.position_embeddings",
    "norm": "electra.embeddings.LayerNorm",
    "project": "electra.embeddings_project",
    "judge": "discriminator_predictions.dense",
    "verdict": "discriminator_predictions.dense_prediction",
    "transform": "generator_predictions.dense",
    "transform_norm": "generator_predictions.LayerNorm",
    "head": "generator_lm_head",
}
_HEADS = ("judge", "verdict", "transform", "transform_norm", "head")


def _stored(name: str, config: ModelConfig) -> Stored:
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blocks."):
        return Stored((f"{_OUTER[stem]}.{kind}",))
    _, index, inner = stem.split(".", 2)
    layer = f"electra.encoder.layer.{index}."
    if inner == "attention.qkv":
        names = tuple(f"{layer}attention.self.{part}.{kind}" for part in ("query", "key", "value"))
        return Stored(names, rows=(config.width,) * 3)
    return Stored((f"{layer}{_BLOCK[inner]}.{kind}",))


def _own_stored(name: str, config: ModelConfig) -> Stored:
    return Stored((name if name.startswith(_HEADS) else f"model.{name}",))


def _embedding_width(config: ModelConfig) -> int:
    assert config.pair is not None
    return config.pair.embedding_width


def _config(config: ModelConfig, head: str = "ElectraForPreTraining") -> dict[str, Any]:
    return {
        "architectures": [head],
        "embedding_size": _embedding_width(config),
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context,
        "type_vocab_size": 1,
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_drop,
    }


def _own_config(config: ModelConfig, head: str = "ForPreTraining") -> dict[str, Any]:
    names = {"AutoConfig": "Config", "AutoModel": "Model", f"AutoModel{head}": head}
    return {
        **_config(config, f"{OWN.prefix}{head}"),
        "auto_map": {auto: f"{OWN.module}.{OWN.prefix}{name}" for auto, name in names.items()},
        "seqloom": asdict(config),
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "layers": values["num_hidden_layers"],
        "width": values["hidden_size"],
        "heads": values["num_attention_heads"],
        "ffn": values["intermediate_size"],
        "context": values["max_position_embeddings"],
        "norm_eps": values.get("layer_norm_eps", 1e-12),
        "pair": PairConfig(embedding_width=values["embedding_size"]),
        **read_dropouts(values, "hidden_dropout_prob", attention="attention_probs_dropout_prob", usual=0.1),
    }


DISCRIMINATOR = HfLayout(
    model_type="electra",
    auto="AutoModelForPreTraining",
    fits=lambda config: config.position == "learned",
    stored=_stored,
    config=_config,
    read=_read,
    fixed={"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False},
    zeros=lambda config: {"electra.embeddings.token_type_embeddings.weight": (1, _embedding_width(config))},
    unread=frozenset({"electra.embeddings.position_ids"}),
)
GENERATOR = replace(
    DISCRIMINATOR,
    auto="AutoModelForMaskedLM",
    config=partial(_config, head="ElectraForMaskedLM"),
    unread=DISCRIMINATOR.unread | {"generator_lm_head.weight"},
)
OWN_DISCRIMINATOR = replace(
    DISCRIMINATOR, model_type=OWN.model_type, stored=_own_stored, config=_own_config, fixed={},
    zeros=lambda config: {},
)  # fmt: skip
OWN_GENERATOR = replace(
    OWN_DISCRIMINATOR, auto="AutoModelForMaskedLM", config=partial(_own_config, head="ForMaskedLM")
)


def pair_layouts(config: ModelConfig) -> tuple[HfLayout, HfLayout]:
    """Of discriminator and generator."""
    native = DISCRIMINATOR.fits(config)
    return (DISCRIMINATOR, GENERATOR) if native else (OWN_DISCRIMINATOR, OWN_GENERATOR)


def kept_by_pair(config: ModelConfig) -> int:
    """Of a layer of the discriminator, with its share of the generator."""
    shape = generator_shape(config)
    return kept_by_transformer(config) + kept_by_transformer(shape) * shape.layers // config.layers


def _settle(config: ModelConfig) -> dict[str, Any]:
    return complete_pair(config, width=config.width // 4, layers=config.layers, dropout=config.dropout)


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    takes=frozenset({"heads", "rope_base", "attention_dropout", "pair"}),
    positions=PAIR_POSITIONS,
    ffn=lambda width: 4 * width,
    size=lambda config, vocab_size: pair_size(config, vocab_size, corrects=False),
    builder="biotrain.layers.pair:Pair",
    style=PAIR_STYLE,
    hf=DISCRIMINATOR,
    modeling=OWN,
    objectives=("rtd",),
    kept=kept_by_pair,
    settle=_settle,
)
