"""Which optimizers there are and how they are set. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from biodata.catalog import Catalog
from biodata.errors import ConfigError
from biotrain.ranges import check_range

OPTIMIZERS = Catalog(
    "optimizer",
    {
        "adafactor": "biotrain.optim.adafactor:build",
        "adamw": "biotrain.optim.adamw:build",
        "lion": "biotrain.optim.lion:build",
        "muon": "biotrain.optim.muon:build",
        "sgd": "biotrain.optim.sgd:build",
    },
)
"""Name to `build(groups, config)`."""

_OWN: dict[str, dict[str, Any]] = {
    "adafactor": {},
    "adamw": {"betas": (0.9, 0.95), "eps": 1e-8},
    "lion": {"betas": (0.9, 0.99)},
    "muon": {"betas": (0.9, 0.95), "eps": 1e-8, "momentum": 0.95},
    "sgd": {"momentum": 0.9},
}
"""Settings that an optimizer has besides the common ones, with what stands for `none`."""

_LIMITS = {"norm": 1.0, "agc": 0.01, "value": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """An optimizer, and clipping of the gradient.

    What is left out (`none`) is replaced by the optimizer's own default, so that a saved configuration states
    what was used.

    Raises:
        ConfigError: a value out of range, or a setting that the optimizer does not use.

    >>> OptimConfig(lr=-1)
    Traceback (most recent call last):
    biodata.errors.ConfigError: lr must be 0 or more, got -1
    >>> OptimConfig(name="lion", momentum=0.9)
    Traceback (most recent call last):
    biodata.errors.ConfigError: optimizer 'lion' does not use momentum, which belongs to: muon, sgd
    """

    name: str = field(
        default="adamw",
        metadata={"help": "adamw, muon (hidden matrices; adamw for the rest), lion, adafactor or sgd"},
    )
    lr: float = field(default=3e-4, metadata={"help": "peak learning rate, >= 0"})
    betas: tuple[float, float] | None = field(
        default=None,
        metadata={"help": "adamw, lion, muon's adamw: decay rates of the two moments, each 0 to 1; "
                          "none = 0.9,0.95 (lion 0.9,0.99)"},
    )  # fmt: skip
    momentum: float | None = field(
        default=None,
        metadata={"help": "sgd, muon: Nesterov momentum, 0 to 1; none = 0.9 (muon 0.95)"},
    )
    weight_decay: float = field(
        default=0.1, metadata={"help": "decay of weights with two or more dimensions, >= 0"}
    )
    eps: float | None = field(
        default=None,
        metadata={"help": "adamw, muon's adamw: added to the root of the second moment, > 0; none = 1e-8"},
    )
    layer_decay: float = field(
        default=1.0,
        metadata={"help": "rate of a layer over that of the one above it, over 0 to 1 (the output has lr)"},
    )
    clip_mode: Literal["norm", "value", "agc"] = field(
        default="norm",
        metadata={"help": "clip by the norm of the whole gradient, each entry's value, or adaptively (each "
                          "unit's norm by that of its weights)"},
    )  # fmt: skip
    clip_norm: float | None = field(
        default=None,
        metadata={"help": "limit of clip_mode: the largest norm, entry, or share of the weights' norm; 0 = "
                          "none, left out = 1 (agc 0.01; value needs one)"},
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", OPTIMIZERS.resolve(self.name))
        self._fill()
        for beta in self.betas or ():
            check_range("betas", beta, low=0, high=1 - 1e-9)
        for name in ("lr", "weight_decay", "clip_norm"):
            check_range(name, getattr(self, name), low=0)
        check_range("momentum", self.momentum or 0, low=0, high=1 - 1e-9)
        check_range("eps", 1 if self.eps is None else self.eps, low=1e-30)
        check_range("layer_decay", self.layer_decay, low=1e-6, high=1)

    def _fill(self) -> None:
        own = _OWN[self.name]
        for item in fields(self):
            users = [name for name, settings in _OWN.items() if item.name in settings]
            given = getattr(self, item.name)
            if users and item.name not in own and given is not None:
                raise ConfigError(
                    f"optimizer {self.name!r} does not use {item.name}, which belongs to: {', '.join(users)}"
                )
            if given is None and item.name in own:
                object.__setattr__(self, item.name, own[item.name])
        if self.clip_mode not in _LIMITS:
            raise ConfigError(f"clip_mode is {self.clip_mode!r}, allowed: norm, value, agc")
        if self.clip_norm is None:
            if (limit := _LIMITS[self.clip_mode]) is None:
                raise ConfigError(f"clip_mode {self.clip_mode!r} needs a limit: give clip_norm")
            object.__setattr__(self, "clip_norm", limit)
