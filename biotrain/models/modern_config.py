"""Settings of model `modernbert` beside those that every model has. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from biodata.errors import ConfigError
from biotrain.ranges import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class ModernConfig:
    """Which layers look how far.

    Raises:
        ConfigError: a value out of range.
    """

    local_attention: int = field(
        default=128,
        metadata={"help": "modernbert: tokens that a local layer looks at, half on each side; even, >= 2"},
    )
    global_every: int = field(
        default=3,
        metadata={"help": "modernbert: every n-th layer, from the first, looks at all tokens; >= 1"},
    )
    local_rope_base: float = field(
        default=10_000.0, metadata={"help": "modernbert: base of rope's wavelengths in local layers, > 1"}
    )

    def __post_init__(self) -> None:
        check_range("model local_attention", self.local_attention, low=2)
        if self.local_attention % 2:
            raise ConfigError(f"model local_attention must be even, got {self.local_attention}")
        check_range("model global_every", self.global_every, low=1)
        check_range("model local_rope_base", self.local_rope_base, low=1.001)
