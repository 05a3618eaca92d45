"""Caduceus (Schiff et al., arXiv:2403.03234): bidirectional Mamba that shares its projections, for DNA.

A layer's two directions have a selective core each between the same projections, and are added. With
`equivariant` (Caduceus-PS) the model reads a sequence x and its reverse complement rc(x) with the same
weights, W being the output layer and W' its rows exchanged by the complement:

    hidden(x)_i = [h(x)_i; h(rc(x))_(T+1-i)]        logits(x)_i = W h(x)_i + W' h(rc(x))_(T+1-i)

so that logits(rc(x)) is logits(x) read from the end with complementary tokens exchanged, exactly. The
complement exchanges <bos> and <eos>, so rc(x) is what the tokenizer makes of the other strand; the authors'
code has neither. Without it (Caduceus-Ph) any vocabulary will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from biodata.alphabet import reverse_complement
from biodata.errors import ConfigError
from biodata.tokenizers.special import BOS, EOS, SPECIAL_TOKENS
from biotrain.models.architecture import Architecture, Size, Style
from biotrain.models.config import ModelConfig
from biotrain.models.ssm_config import (
    SSM_MODELING,
    around_layers,
    core_multiplied,
    core_size,
    kept_by_layers,
    settle_mamba,
    ssm_of,
)

_LETTERS = frozenset("ACGTRYSWKMBDHVN")


def complement_ids(tokens: Sequence[str]) -> tuple[int, ...]:
    """The id of each token's reverse complement; <bos> and <eos> change places.

    Args:
        tokens: of the vocabulary in the order of their ids; those in angle brackets are their own complement.

    Raises:
        ConfigError: a token that is no DNA, or whose reverse complement is no token.

    >>> complement_ids((*SPECIAL_TOKENS, "A", "C", "G", "T", "N"))
    (0, 2, 1, 3, 4, 5, 9, 8, 7, 6, 10)
    """
    ids = {token: number for number, token in enumerate(tokens)}
    special = {token for token in tokens if token in SPECIAL_TOKENS or token.startswith("<")}
    words = [token for token in tokens if token not in special]
    for word in words:
        if not _LETTERS.issuperset(word):
            raise _refusal(f"token {word!r} is no DNA")
    for word in words:
        if reverse_complement(word) not in ids:
            raise _refusal(f"{word!r} is a token and {reverse_complement(word)!r} is not")
    swapped = {BOS: EOS, EOS: BOS}
    return tuple(
        swapped.get(number, number) if token in special else ids[reverse_complement(token)]
        for number, token in enumerate(tokens)
    )


def _refusal(why: str) -> ConfigError:
    return ConfigError(
        f"model 'caduceus' reads both strands, but {why}: take a tokenizer of nucleotides, codons or k-mers, "
        "or equivariant false"
    )


def _settle(config: ModelConfig) -> dict[str, Any]:
    ssm = ssm_of(config)
    if ssm.complement and ssm.equivariant is False:
        raise ConfigError("model complement is for a model that reads both strands: leave it out")
    settled = settle_mamba(config)
    return {"ssm": replace(settled["ssm"], equivariant=ssm.equivariant is not False)}


def _of_tokens(config: ModelConfig, tokens: Sequence[str]) -> ModelConfig:
    ssm = ssm_of(config)
    return replace(config, ssm=replace(ssm, complement=complement_ids(tokens))) if ssm.equivariant else config


def _size(config: ModelConfig, vocab_size: int) -> Size:
    """Per layer, with width d and C = expand d channels: 3 d C around two cores, and a norm."""
    d, ssm = config.width, ssm_of(config)
    projections, strands = 3 * d * ssm.expand * d, 2 if ssm.equivariant else 1
    layer, multiplied = projections + 2 * core_size(d, ssm) + d, projections + 2 * core_multiplied(d, ssm)
    size = around_layers(config, vocab_size, layer=layer, multiplied=multiplied)
    return size._replace(multiplied=strands * size.multiplied)


ARCHITECTURE = Architecture(
    bidirectional=True,
    directions=(True,),
    attends=False,
    takes=frozenset({"ssm"}),
    positions=("none",),
    ffn=lambda width: 0,
    size=_size,
    kept=kept_by_layers,
    settle=_settle,
    of_tokens=_of_tokens,
    builder="biotrain.layers.ssm_models:Caduceus",
    style=Style(norm="rms", bias=False, feed_forward="swiglu"),
    modeling=SSM_MODELING,
)
