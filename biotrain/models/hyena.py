"""Hyena (arXiv:2302.10866) as HyenaDNA (arXiv:2306.15794) and HELM build it: implicit long convolutions.

Pre-norm blocks of a mixer of order 2 and a GELU (tanh) feed-forward layer, LayerNorm, biases. Causal, or with
a filter to both sides. Without positions, which the filter knows, or with learned ones (HELM).
"""

from __future__ import annotations

import math

from biotrain.models.architecture import Architecture, Modeling, Size, Style
from biotrain.models.config import ModelConfig


def hyena_size(config: ModelConfig, vocab_size: int) -> Size:
    """Closed form.

    Per block, with width d, inner width f, K taps, S sides, filters of E features and width F: projections
    4 d^2 + 4 d, short convolution 3 d (K + 1), skip d, filter (E + 2 F + 3 + S d) F + F for the frequencies,
    feed-forward 2 d f + f + d, two norms of 2 d. Around them token and learned position embedding, a norm,
    and an output layer when it is not tied. HyenaDNA's smallest has 436,096.

    A token's share of the three transforms of each channel counts as 5/2 d log2(context) multiplications
    (Hyena, appendix A.2); the filter's network, run once for a whole batch, is not counted.
    """
    hyena = config.hyena
    assert hyena is not None
    d, f, width = config.width, config.ffn, hyena.filter_width
    table, places = vocab_size * d, config.context * d if config.position == "learned" else 0
    network = (hyena.filter_features + 2 * width + 3 + (2 if config.bidirectional else 1) * d) * width + width
    short = 3 * d * hyena.short_conv
    block = 4 * d * d + 4 * d + short + 3 * d + d + network + 2 * d * f + f + d + 4 * d
    embedding = table * (1 if config.tie_embeddings else 2) + places
    total = config.layers * block + embedding + 2 * d
    transforms = round(2.5 * d * math.log2(config.context))
    multiplied = config.layers * (4 * d * d + 2 * d * f + short + transforms) + table
    return Size(total=total, active=total, embedding=embedding, multiplied=multiplied, mixing=0)


ARCHITECTURE = Architecture(
    bidirectional=False,
    takes=frozenset({"hyena"}),
    positions=("none", "learned"),
    ffn=lambda width: 4 * width,
    size=hyena_size,
    builder="biotrain.layers.hyena:Hyena",
    style=Style(norm="layer", bias=True, feed_forward="gelu_tanh"),
    modeling=Modeling("modeling_hyena", "SeqloomHyena", "seqloom_hyena"),
    attends=False,
)
