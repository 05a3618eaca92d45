"""Numbers of a model before it is built: parameters, floating-point operations. Imports no torch."""

from __future__ import annotations

from biotrain.models.config import ModelConfig


def count_parameters(config: ModelConfig, *, vocab_size: int) -> dict[str, int]:
    """Parameters of a model by closed form.

    Per block, with width d and inner width f: attention 4 d^2 + 4 d, feed-forward 2 d f + f + d, two norms
    4 d. Around them: token and position embedding, final norm 2 d, and an output layer when it is not tied.

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
    d, f = config.width, config.ffn
    block = 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d
    embedding = (vocab_size * (1 if config.tie_embeddings else 2) + config.context) * d
    total = config.layers * block + embedding + 2 * d
    return {"total": total, "active": total, "embedding": embedding}


def flops_per_token(config: ModelConfig, *, vocab_size: int, length: int | None = None) -> int:
    """Floating-point operations of a training step per token, a multiply-add counting 2.

    Six per weight that is multiplied (2 forward, 4 backward), embeddings looked up being free and the output
    layer not; plus 12 L d T for attention (PaLM, arXiv:2204.02311, appendix B), where a causal model is not
    credited for the half it skips, as is custom.

    Args:
        config: shape.
        vocab_size: tokens, special ones included.
        length: tokens per sequence; `None` takes the context.

    >>> flops_per_token(ModelConfig(layers=10, width=256, context=256), vocab_size=70)
    55157760
    """
    d, f = config.width, config.ffn
    weights = config.layers * (4 * d * d + 2 * d * f) + vocab_size * d
    return 6 * weights + 12 * config.layers * d * (length or config.context)
