"""What happens to low complexity; light, for the command line. See `biodata.curate.complexity`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplexityPolicy:
    """What happens to repeats of few letters, and to rows of mostly unknown letters.

    >>> ComplexityPolicy(max_ambiguous=2)
    Traceback (most recent call last):
    biodata.errors.ConfigError: max_ambiguous is 2, allowed: 0 to 1
    """

    low_complexity: Literal["keep", "drop", "mask"] = field(
        default="keep",
        metadata={"help": "drop rows with too much of it, or mask it by N or X (DUST, SEG)"},
    )
    max_low_complexity: float = field(
        default=0.5, metadata={"help": "with drop: largest part of a row of low complexity, 0 to 1"}
    )
    max_ambiguous: float = field(
        default=1.0, metadata={"help": "largest part of a row that is N, X or another ambiguity code, 0 to 1"}
    )

    def __post_init__(self) -> None:
        if self.low_complexity not in ("keep", "drop", "mask"):
            raise ConfigError(f"low_complexity is {self.low_complexity!r}, allowed: keep, drop, mask")
        for name in ("max_low_complexity", "max_ambiguous"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: 0 to 1")
