"""Numbers of a model before it is built: parameters, floating-point operations. Imports no torch."""

from __future__ import annotations

from biotrain.models.architecture import Size
from biotrain.models.config import ModelConfig


def count_parameters(config: ModelConfig, *, vocab_size: int) -> dict[str, int]:
    """Parameters of a model by closed form.

    Args:
        config: shape.
        vocab_size: tokens, special ones included.

    Returns:
        `total`; `active`, those one token passes through (equal to `total` in a dense model); `embedding`,
        token and position tables and an untied output layer.

    >>> helm = ModelConfig(layers=10, width=640, context=444, tie_embeddings=False)
    >>> count_parameters(helm, vocab_size=70)["total"]
    49610240
    """
    size = config.architecture.size(config, vocab_size)
    return {"total": size.total, "active": size.active, "embedding": size.embedding}


def flops_per_token(config: ModelConfig, *, vocab_size: int, length: int | None = None) -> int:
    """Floating-point operations of a training step per token, a multiply-add counting 2.

    Six per weight that is multiplied (2 forward, 4 backward), embeddings looked up being free and the output
    layer not; plus 12 L d T for attention (PaLM, arXiv:2204.02311, appendix B), where a causal model is not
    credited for the half it skips, as is custom. Of the experts only those that a token visits count.

    Args:
        config: shape.
        vocab_size: tokens, special ones included.
        length: tokens per sequence; `None` takes the context.

    >>> flops_per_token(ModelConfig(layers=10, width=256, context=256), vocab_size=70)
    55157760
    """
    size = config.architecture.size(config, vocab_size)
    return 6 * (size.multiplied + size.mixing * (length or config.context))


def transformer_size(config: ModelConfig, vocab_size: int) -> Size:
    """Closed form of a transformer.

    Per block, with width d, inner width f, keys of width g: attention 2 d^2 + 2 d g, feed-forward 2 d f, or
    3 d f when gated; E of these and a router E d with experts; two norms. With biases 2 d + 2 g, f + d more
    (d when gated), and norms of 2 d instead of d. Around them: token and learned position embedding, a norm,
    and an output layer when it is not tied; BERT's head has another d^2 + d, a norm and a bias.
    """
    style = config.architecture.style
    assert style is not None
    d, f, g = config.width, config.ffn, config.key_heads * config.head_width
    norm = 2 * d if style.norm == "layer" else d
    gated = config.activation == "geglu" or not style.feed_forward.startswith("gelu")
    attention, one = 2 * d * d + 2 * d * g, (3 if gated else 2) * d * f
    experts, used, router = 1, 1, 0
    if style.feed_forward == "experts" and config.moe:
        experts, used, router = config.moe.experts, config.moe.top_k, config.moe.experts * d
    bias = (2 * d + 2 * g + (0 if gated else f) + d) if style.bias else 0
    table, places = vocab_size * d, config.context * d if config.position == "learned" else 0
    embedding = table * (1 if config.tie_embeddings else 2) + places
    head = d * d if style.post_norm else 0
    around = embedding + norm + (head + d + norm + vocab_size if head else 0)
    total = config.layers * (attention + experts * one + router + bias + 2 * norm) + around
    return Size(
        total=total,
        active=total - config.layers * (experts - used) * one,
        embedding=embedding,
        multiplied=config.layers * (attention + used * one + router) + head + table,
        mixing=2 * config.layers * d,
    )
