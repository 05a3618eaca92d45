"""Options of state-space models, and sizes that several of them share. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from biodata.errors import ConfigError
from biotrain.models.architecture import Modeling, Size
from biotrain.ranges import check_range

if TYPE_CHECKING:
    from biotrain.models.config import ModelConfig

SSM_MODELING = Modeling("modeling_ssm", "SeqloomSsm", "seqloom_ssm")
"""The file that computes state-space models which transformers has no class for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SsmConfig:
    """State-space layers. What is 0 is filled in by the architecture.

    Raises:
        ConfigError: a value out of range.
    """

    state_size: int = field(
        default=0, metadata={"help": "states of a channel; 0 = 16, in mamba2 128, as the papers have"}
    )
    conv_taps: int = field(
        default=4,
        metadata={"help": "tokens that the convolution before the scan sees, its own included, >= 1"},
    )
    expand: int = field(default=2, metadata={"help": "channels of the scan by the width, 1 or more"})
    dt_rank: int = field(
        default=0,
        metadata={"help": "mamba, bimamba, caduceus: rank of the step length; 0 = a 16th of the width"},
    )

    head_channels: int = field(
        default=0,
        metadata={"help": "mamba2: channels of a head, which share a decay; 0 = 64 at most"},
    )
    equivariant: bool | None = field(
        default=None,
        metadata={"help": "caduceus: read both strands, needs a DNA vocabulary; false = any vocabulary"},
    )
    complement: tuple[int, ...] = field(
        default=(),
        metadata={"help": "caduceus: id of each token's reverse complement; filled in from the tokenizer"},
    )

    def __post_init__(self) -> None:
        for name in ("state_size", "dt_rank", "head_channels"):
            check_range(f"model {name}", getattr(self, name), low=0)
        for name in ("conv_taps", "expand"):
            check_range(f"model {name}", getattr(self, name), low=1)


def ssm_of(config: ModelConfig) -> SsmConfig:
    """The options of a state-space model."""
    assert config.ssm is not None  # `ModelConfig` fills it in
    return config.ssm


def refuse_others(config: ModelConfig, owners: dict[str, str]) -> None:
    """Refuses options that belong to other models.

    Args:
        config: whose options are looked at.
        owners: names of fields of `SsmConfig` that do nothing in this model, and whose they are.

    Raises:
        ConfigError: one is given.
    """
    for name, owner in owners.items():
        if getattr(ssm_of(config), name) not in (0, None, ()):
            raise ConfigError(f"model {config.name!r} has no option {name} (others have: {owner})")


def settle_mamba(config: ModelConfig) -> dict[str, Any]:
    """Mamba-1's rules: 16 states, rank ceil(width / 16)."""
    strands = {} if config.name == "caduceus" else {"equivariant": "caduceus", "complement": "caduceus"}
    refuse_others(config, {"head_channels": "mamba2", **strands})
    ssm = ssm_of(config)
    rank = ssm.dt_rank or -(-config.width // 16)
    return {"ssm": replace(ssm, state_size=ssm.state_size or 16, dt_rank=rank)}


def core_size(width: int, ssm: SsmConfig) -> int:
    """Parameters of a selective core: convolution with bias, projections to step length (with bias) and to
    both matrices, A and D."""
    channels = ssm.expand * width
    projections = (ssm.dt_rank + 2 * ssm.state_size) + (ssm.dt_rank + 1)
    return channels * (ssm.conv_taps + 1 + projections + ssm.state_size + 1)


def core_multiplied(width: int, ssm: SsmConfig) -> int:
    """Weights of a selective core that a token is multiplied with, and 3 products for each state: decay,
    input, output."""
    channels = ssm.expand * width
    projections = 2 * ssm.dt_rank + 2 * ssm.state_size
    return channels * (ssm.conv_taps + projections + 3 * ssm.state_size + 1)


def kept_by_layers(config: ModelConfig) -> int:
    """Numbers of a token and layer that the backward pass needs: with C channels, in each direction some 10 C
    and one state of every 16, and what is around them."""
    ssm, d = ssm_of(config), config.width
    core = ssm.expand * d * (10 + ssm.state_size // 16) + 4 * ssm.state_size
    directions = 2 if config.bidirectional else 1
    mlp = 2 * d + 4 * config.ffn if config.ffn else 0
    return (directions * (core + 2 * d + mlp)) * (2 if ssm.equivariant else 1)


def around_layers(config: ModelConfig, vocab_size: int, *, layer: int, multiplied: int) -> Size:
    """The size of a model from that of its layers.

    Args:
        config: shape; a gated feed-forward layer of `ffn` is added to each layer with its norm.
        vocab_size: tokens.
        layer: parameters of a layer with its norm, without the feed-forward one.
        multiplied: of these, weights that a token is multiplied with.
    """
    d = config.width
    mlp = 3 * d * config.ffn
    table, places = vocab_size * d, config.context * d if config.position == "learned" else 0
    embedding = table * (1 if config.tie_embeddings else 2) + places
    total = config.layers * (layer + mlp + (d if mlp else 0)) + embedding + d
    return Size(
        total=total,
        active=total,
        embedding=embedding,
        multiplied=config.layers * (multiplied + mlp) + table,
        mixing=0,
    )


def read_shape(values: Mapping[str, Any], ssm: SsmConfig) -> dict[str, Any]:
    """Settings of `ModelConfig` from a `config.json` of transformers, beside those of the state space."""
    return {
        "layers": values["num_hidden_layers"],
        "width": values["hidden_size"],
        "norm_eps": values.get("layer_norm_epsilon", 1e-5),
        "ssm": ssm,
    }
