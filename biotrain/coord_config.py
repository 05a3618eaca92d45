"""What a coordinate check compares: settings of `biotrain.coord_check`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from biodata.errors import ConfigError
from biotrain.models.config import ModelConfig
from biotrain.ranges import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordCheckConfig:
    """Models of several widths, each trained a few steps with and without muP.

    Raises:
        ConfigError: a value out of range, or a width that gives no model.

    >>> CoordCheckConfig(widths=(64,))
    Traceback (most recent call last):
    biodata.errors.ConfigError: coord-check widths must be two or more, got (64,)
    """

    out: Path | None = field(default=None, metadata={"help": "picture to write (.svg, .png or .pdf)"})
    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(layers=2, width=64, heads=4, context=32),
        metadata={"help": "the narrowest model, to which muP holds the others"},
    )
    widths: tuple[int, ...] = field(
        default=(64, 128, 256, 512), metadata={"help": "widths to compare, ascending"}
    )
    lr: float = field(default=1e-2, metadata={"help": "learning rate of AdamW at every width, > 0"})
    steps: int = field(default=3, metadata={"help": "optimizer steps, 1 or more"})
    seeds: int = field(default=1, metadata={"help": "models whose sizes are averaged, 1 or more"})
    batch_size: int = field(default=4, metadata={"help": "sequences of a step, 1 or more"})
    vocab_size: int = field(default=70, metadata={"help": "tokens; the data are random ones, 7 or more"})

    def __post_init__(self) -> None:
        for name in ("steps", "seeds", "batch_size"):
            check_range(f"coord-check {name}", getattr(self, name), low=1)
        check_range("coord-check lr", self.lr, low=1e-12)
        check_range("coord-check vocab_size", self.vocab_size, low=7)
        if len(self.widths) < 2 or list(self.widths) != sorted(set(self.widths)):
            wanted = "two or more" if len(self.widths) < 2 else "ascending"
            raise ConfigError(f"coord-check widths must be {wanted}, got {self.widths!r}")
        if self.model.mup_base_width:
            raise ConfigError("coord-check sets mup_base_width itself: leave it out")
        for width in self.widths:
            self.shaped(width, mup=True)

    def shaped(self, width: int, *, mup: bool) -> ModelConfig:
        """The model at a width, with heads and inner layers grown in proportion."""
        model = self.model
        heads = max(1, model.heads * width // model.width) if model.heads else 0
        kv_heads = max(1, model.kv_heads * width // model.width) if model.kv_heads else 0
        ffn = max(1, model.ffn * width // model.width)
        base = self.widths[0] if mup else 0
        return replace(model, width=width, heads=heads, kv_heads=kv_heads, ffn=ffn, mup_base_width=base)
