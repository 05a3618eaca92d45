"""Options of model `hyena`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from biodata.errors import ConfigError
from biotrain.ranges import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class HyenaConfig:
    """The filters of Hyena, of order 2; the defaults are HyenaDNA's (arXiv:2306.15794).

    Raises:
        ConfigError: a value out of range, or an even number where an odd one is needed.

    >>> HyenaConfig(filter_features=4)
    Traceback (most recent call last):
    biodata.errors.ConfigError: model filter_features must be odd (a place, then sines and cosines), got 4
    """

    filter_width: int = field(
        default=64, metadata={"help": "inner width of the long filter's network, 1 or more"}
    )
    filter_features: int = field(
        default=5, metadata={"help": "features of a place for that network, odd, 3 or more (HELM: 3)"}
    )
    filter_frequency: float = field(
        default=10.0, metadata={"help": "frequency at which its sines start, > 0 (Hyena: 1, HyenaDNA: 10)"}
    )
    short_conv: int = field(default=3, metadata={"help": "taps of the short convolution, odd, 1 or more"})

    def __post_init__(self) -> None:
        check_range("model filter_width", self.filter_width, low=1)
        check_range("model filter_features", self.filter_features, low=3)
        check_range("model filter_frequency", self.filter_frequency, low=1e-6)
        check_range("model short_conv", self.short_conv, low=1)
        if self.filter_features % 2 == 0:
            why = "a place, then sines and cosines"
            raise ConfigError(f"model filter_features must be odd ({why}), got {self.filter_features}")
        if self.short_conv % 2 == 0:
            raise ConfigError(
                f"model short_conv must be odd (it is centred two-sided), got {self.short_conv}"
            )
