"""Based (Arora et al., arXiv:2402.18668): linear attention, attention to a window, gated convolutions.

Pre-norm blocks, RMSNorm, SwiGLU of inner width 2 d, no biases. Of every five blocks the second has linear
attention with the Taylor feature map and the third attention to a window; the others are gated short
convolutions. Without positions, as published, or with rope (in the windows) or learned ones; both directions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from biodata.errors import ConfigError
from biotrain.models.architecture import Architecture, Modeling, Size, Style
from biotrain.models.based_config import BasedConfig
from biotrain.models.config import ModelConfig

PERIOD = 5

Kind = Literal["linear", "window", "conv"]


def based_of(config: ModelConfig) -> BasedConfig:
    """The options of a Based model."""
    assert config.based is not None  # `ModelConfig` fills it in
    return config.based


def kind_of(config: ModelConfig, layer: int) -> Kind:
    """What mixes the tokens in a block.

    >>> [kind_of(ModelConfig(name="based", layers=6), layer)[0] for layer in range(6)]
    ['c', 'l', 'w', 'c', 'c', 'c']
    """
    based = based_of(config)
    return "linear" if layer in based.linear_layers else "window" if layer in based.window_layers else "conv"


def _settle(config: ModelConfig) -> dict[str, Any]:
    """The published rule where the blocks are not named: the second and third of every five, both or none."""
    based = based_of(config)
    linear, window = based.linear_layers, based.window_layers
    if not (linear or window):
        linear = tuple(range(1, max(2, config.layers - 1), PERIOD))
        window = tuple(layer + 1 for layer in linear if layer + 1 < config.layers)
        linear = tuple(layer for layer in linear if layer < config.layers)
    for name, layers in (("linear_layers", linear), ("window_layers", window)):
        if layers and max(layers) >= config.layers:
            allowed = f"allowed: 0 to {config.layers - 1}"
            raise ConfigError(
                f"model {name} has {max(layers)}, but there are {config.layers} blocks ({allowed})"
            )
    if both := sorted(set(linear) & set(window)):
        raise ConfigError(f"block {both[0]} stands in both linear_layers and window_layers")
    return {"based": replace(based, linear_layers=linear, window_layers=window)}


def based_size(config: ModelConfig, vocab_size: int) -> Size:
    """Closed form.

    With width d, inner width f, H heads, feature width p: a block has 3 d f + 2 d for the feed-forward layer
    and the norms, and 2 d^2 + 2 d H p with linear attention, 4 d^2 with a window, or, with the two halves of
    the convolution c = expand d, 3/2 c d + kernel c / 2. Around them token and learned position embedding, a
    norm, and an output layer when it is not tied.

    A token's share of linear attention counts as 2 P d multiplications, P = 1 + p + p (p + 1) / 2, that of a
    window as 2 w d, whatever the length of the sequence.
    """
    based, d = based_of(config), config.width
    half, p = based.conv_expand * d // 2, based.feature_width
    linear, window = len(based.linear_layers), len(based.window_layers)
    conv = config.layers - linear - window
    weights = linear * (2 * d * d + 2 * d * config.heads * p) + window * 4 * d * d
    weights += conv * (3 * half * d + based.conv_kernel * half) + config.layers * 3 * d * config.ffn
    table, places = vocab_size * d, config.context * d if config.position == "learned" else 0
    embedding = table * (1 if config.tie_embeddings else 2) + places
    total = weights + config.layers * 2 * d + d + embedding
    states = linear * 2 * (1 + p + p * (p + 1) // 2) * d + window * 2 * based.attention_window * d
    multiplied = weights + states + table
    return Size(total=total, active=total, embedding=embedding, multiplied=multiplied, mixing=0)


ARCHITECTURE = Architecture(
    bidirectional=False,
    takes=frozenset({"heads", "rope_base", "based"}),
    positions=("none", "rope", "learned"),
    ffn=lambda width: 2 * width,
    size=based_size,
    builder="biotrain.layers.based:Based",
    style=Style(norm="rms", bias=False, feed_forward="swiglu"),
    modeling=Modeling("modeling_based", "SeqloomBased", "seqloom_based"),
    attends=False,
    settle=_settle,
)
