"""Options of model `based`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from biotrain.ranges import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class BasedConfig:
    """The three kinds of layers of Based (arXiv:2402.18668); the defaults are those of its 360M model.

    Raises:
        ConfigError: a value out of range.
    """

    linear_layers: tuple[int, ...] = field(
        default=(), metadata={"help": "blocks with linear attention, counted from 0; none = 1, 6, 11, ..."}
    )
    window_layers: tuple[int, ...] = field(
        default=(), metadata={"help": "blocks with attention to a window; none = 2, 7, 12, ..."}
    )
    feature_width: int = field(
        default=16, metadata={"help": "width of queries and keys of a head in linear attention, 1 or more"}
    )
    attention_window: int = field(
        default=64, metadata={"help": "nearest tokens that are attended to, the token itself included, >= 1"}
    )
    conv_expand: int = field(
        default=4,
        metadata={"help": "the other blocks: width of both halves of the gated convolution by d, even"},
    )
    conv_kernel: int = field(default=3, metadata={"help": "taps of that convolution, 1 or more"})

    def __post_init__(self) -> None:
        for name in ("feature_width", "attention_window", "conv_kernel"):
            check_range(f"model {name}", getattr(self, name), low=1)
        check_range("model conv_expand", self.conv_expand, low=2)
        for name in ("linear_layers", "window_layers"):
            for layer in getattr(self, name):
                check_range(f"model {name}", layer, low=0)
