"""Settings of the diffusion transformers beside those that every model has. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError
from biotrain.ranges import check_range

FREQUENCIES = 256
"""Sines and cosines that a noise level is told by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DitConfig:
    """How the noise level steers model `dit`.

    Raises:
        ConfigError: a value out of range.
    """

    condition: int = field(
        default=128, metadata={"help": "dit: width of what steers the norms, 1 or more (MDLM 128)"}
    )

    def __post_init__(self) -> None:
        check_range("model condition", self.condition, low=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageConfig:
    """Which picture of a sequence model `dit_image` draws.

    Raises:
        ConfigError: a value out of range, or a side that does not suit.

    >>> ImageConfig(side=48)
    Traceback (most recent call last):
    biodata.errors.ConfigError: model side is 48, but a picture 'fcgr' has a side of 2, 4, 8, ... up to 1024
    """

    picture: Literal["fcgr", "color_square"] = field(
        default="fcgr",
        metadata={
            "help": "dit_image: fcgr (k-mer frequencies, side 2^k) or color_square (letters in a spiral)"
        },
    )
    side: int = field(default=32, metadata={"help": "dit_image: pixels of a side, a multiple of patch"})
    patch: int = field(default=2, metadata={"help": "dit_image: pixels of a patch's side, 1 or more"})

    tells: Literal["v", "eps"] = field(
        default="v", metadata={"help": "dit_image: what it tells of a noisy picture, velocity v or noise eps"}
    )

    label: str = field(
        default="",
        metadata={"help": "dit_image: label of the dataset that pictures are conditioned by, or organism or "
                          "source; none = nothing"},
    )  # fmt: skip
    label_dropout: float | None = field(
        default=None,
        metadata={
            "help": "dit_image: share of pictures learned without their label, 0 to 1; none = 0.1 (DiT)"
        },
    )
    classes: tuple[str, ...] = field(
        default=(), metadata={"help": "dit_image: names of the classes; none = all of the training split"}
    )
    learned_variance: bool = field(
        default=False, metadata={"help": "dit_image: tell the variance of a step too (arXiv:2102.09672)"}
    )
    bound_weight: float | None = field(
        default=None,
        metadata={"help": "dit_image: weight of the bound that the variance learns by, >= 0; none = 0.001"},
    )

    def __post_init__(self) -> None:
        self._settle(needs="label", name="label_dropout", usual=0.1, high=1.0)
        self._settle(needs="learned_variance", name="bound_weight", usual=0.001, high=math.inf)
        if self.classes and not self.label:
            raise ConfigError("model classes are those of a label: give that too")
        if self.tells not in ("v", "eps"):
            raise ConfigError(f"model tells is {self.tells!r}, allowed: v, eps")
        if self.picture not in ("fcgr", "color_square"):
            raise ConfigError(f"model picture is {self.picture!r}, allowed: fcgr, color_square")
        check_range("model side", self.side, low=2, high=1024)
        check_range("model patch", self.patch, low=1)
        if self.picture == "fcgr" and self.side & (self.side - 1):
            raise ConfigError(
                f"model side is {self.side}, but a picture 'fcgr' has a side of 2, 4, 8, ... up to 1024"
            )
        if self.side % self.patch:
            raise ConfigError(f"model side {self.side} is not a multiple of patch {self.patch}")

    def _settle(self, *, needs: str, name: str, usual: float, high: float) -> None:
        value = getattr(self, name)
        if not getattr(self, needs):
            if value is not None:
                raise ConfigError(f"model {name} {value} does nothing without {needs}: leave it out")
            return
        value = usual if value is None else value
        check_range(f"model {name}", value, low=0, high=high)
        object.__setattr__(self, name, value)

    @property
    def told(self) -> int:
        """Numbers that are told of each patch."""
        return self.numbers * (2 if self.learned_variance else 1)

    @property
    def channels(self) -> int:
        """Numbers of a pixel: its density, or one for each of A, C, G, T."""
        return 1 if self.picture == "fcgr" else 4

    @property
    def patches(self) -> int:
        """Patches of a picture, the tokens of the transformer."""
        return (self.side // self.patch) ** 2

    @property
    def numbers(self) -> int:
        """Numbers of a patch."""
        return self.channels * self.patch**2
