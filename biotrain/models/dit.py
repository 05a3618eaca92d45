"""Diffusion transformer over tokens, for masked discrete diffusion: adaLN-Zero blocks (DiT, arXiv:2212.09748)
in the shape of MDLM's backbone (arXiv:2406.07524): no biases in attention, norms with weights, rotary places.

MDLM's small model (12 x 768, vocabulary 50,258, untied) has 169.6 million parameters, and so has ours.
"""

from __future__ import annotations

from biotrain.models.architecture import Architecture, Modeling, Size, Style
from biotrain.models.config import ModelConfig
from biotrain.models.diffusion_config import FREQUENCIES


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """Closed form. With width d, inner width f, condition c, vocabulary V, per block: attention 4 d^2,
    feed-forward 2 d f + f + d, modulation 6 d (c + 1), two norms 2 d. Around them: the time's two layers
    (256 + 1) c + (c + 1) c, the last norm d + 2 d (c + 1), embedding V d, output V d + V."""
    assert config.dit is not None
    d, f, c = config.width, config.ffn, config.dit.condition
    attention, inner, steered = 4 * d * d, 2 * d * f, 6 * d * c
    block = attention + inner + f + d + steered + 6 * d + 2 * d
    time = (FREQUENCIES + 1 + c + 1) * c
    places = config.context * d if config.position == "learned" else 0
    table = vocab_size * d
    embedding = table * (1 if config.tie_embeddings else 2) + places
    total = config.layers * block + time + 3 * d + 2 * d * c + embedding + vocab_size
    return Size(
        total=total,
        active=total,
        embedding=embedding,
        multiplied=config.layers * (attention + inner) + table,
        mixing=2 * config.layers * d,
    )


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    takes=frozenset({"heads", "rope_base", "dit"}),
    positions=("rope", "alibi", "learned"),
    ffn=lambda width: 4 * width,
    size=_size,
    builder="biotrain.diffusion.token_model:Dit",
    style=Style(norm="layer", bias=False, feed_forward="gelu_tanh"),
    modeling=Modeling("modeling_dit", "SeqloomDit", "seqloom_dit"),
    objectives=("masked_diffusion", "mlm"),
)
