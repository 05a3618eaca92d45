"""How the learning rate goes over a run. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from biodata.catalog import Catalog
from biodata.errors import ConfigError
from biotrain.ranges import check_range

SCHEDULES = Catalog(
    "schedule",
    {
        "constant": "biotrain.schedule:constant",
        "cosine": "biotrain.schedule:cosine",
        "linear": "biotrain.schedule:linear",
        "multistep": "biotrain.schedule:multistep",
        "plateau": "biotrain.schedule:plateau",
        "polynomial": "biotrain.schedule:polynomial",
        "step": "biotrain.schedule:step",
        "wsd": "biotrain.schedule:wsd",
    },
    aliases={"poly": "polynomial"},
)
"""Name to a function of `Moment`, highest and lowest rate that gives the rate."""

_CYCLES = ("cycles", "cycle_mul", "cycle_decay")
_FALL = ("min_lr", "warmup_prefix", "cooldown_steps", "cooldown_epochs")
_USED: dict[str, tuple[str, ...]] = {
    "constant": (),
    "cosine": (*_FALL, *_CYCLES, "k_decay"),
    "linear": (*_FALL, *_CYCLES),
    "multistep": ("min_lr", "decay_milestones", "decay_rate"),
    "plateau": ("min_lr", "patience", "decay_rate"),
    "polynomial": (*_FALL, *_CYCLES, "k_decay", "power"),
    "step": ("min_lr", "decay_steps", "decay_epochs", "decay_rate"),
    "wsd": (*_FALL, "decay_fraction", "decay_shape"),
}
"""Schedule to the settings that it reads besides warm-up and noise; others must be left alone."""


def _about(text: str, default: Any) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """The learning rate over the run: up in a straight line, down by the schedule, then the cool-down.

    Raises:
        ConfigError: an unknown name, a value out of range, or a setting that the schedule does not use.

    >>> ScheduleConfig(name="linear", power=3.0)
    Traceback (most recent call last):
    biodata.errors.ConfigError: schedule 'linear' does not use power, which belongs to: polynomial
    """

    name: str = _about(
        "cosine, linear, polynomial, wsd (warm-up, stable, decay), step, multistep, plateau, constant",
        "cosine",
    )
    warmup_steps: int | None = _about("steps of warm-up, >= 0; none = by the two below", None)
    warmup_epochs: float | None = _about("warm-up in epochs, >= 0; none = by warmup_fraction", None)
    warmup_fraction: float = _about("warm-up as a share of all steps, 0 to 1", 0.05)
    warmup_lr: float = _about("learning rate that the warm-up starts from, 0 to lr", 0.0)
    warmup_prefix: bool = _about("the fall begins after the warm-up (no: it runs unseen under it)", True)
    min_lr: float | None = _about(
        "learning rate at the end, 0 to lr; none = a tenth of lr (0 for step, multistep, plateau)", None
    )
    cooldown_steps: int | None = _about("last steps, at min_lr, >= 0; none = by cooldown_epochs", None)
    cooldown_epochs: float = _about("cool-down in epochs, >= 0", 0.0)
    cycles: int = _about("cosine, linear, polynomial: times the rate falls from the top, >= 1", 1)
    cycle_mul: float = _about("length of a cycle over that of the one before, > 0", 1.0)
    cycle_decay: float = _about("top of a cycle over that of the one before, over 0 to 1", 1.0)
    k_decay: float = _about(
        "cosine, polynomial: power of the share of the way, > 0; above 1 falls later", 1.0
    )
    power: float = _about("polynomial: power of what remains, > 0", 2.0)
    decay_fraction: float = _about("wsd: last share of all steps, in which the rate falls, 0 to 1", 0.2)
    decay_shape: Literal["linear", "sqrt", "cosine"] = _about("wsd: how it falls (sqrt: 1 - sqrt)", "linear")
    decay_rate: float = _about("step, multistep, plateau: factor of each cut, over 0 to 1", 0.1)
    decay_steps: int | None = _about("step: steps between cuts, >= 1; none = by decay_epochs", None)
    decay_epochs: float = _about("step: epochs between cuts, > 0", 90.0)
    decay_milestones: tuple[float, ...] = _about("multistep: epochs after which to cut, rising", ())
    patience: int = _about("plateau: validations without gain (1e-4 of the best) that are borne, >= 0", 10)
    noise: tuple[float, ...] = _about("noise on the rate from this share of all steps on [to this share]", ())
    noise_std: float = _about("standard deviation of the noise, relative to the rate, > 0", 1.0)
    noise_limit: float = _about("largest noise, drawn again beyond, relative to the rate, over 0 to 1", 0.67)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", SCHEDULES.resolve(self.name))
        self._refuse_unused()
        zero = ("warmup_steps", "warmup_epochs", "warmup_lr", "min_lr", "cooldown_steps", "cooldown_epochs",
                "patience")  # fmt: skip
        for name in zero:
            check_range(name, getattr(self, name) or 0, low=0)
        for name in ("warmup_fraction", "decay_fraction"):
            check_range(name, getattr(self, name), low=0, high=1)
        for name in ("cycle_decay", "decay_rate", "noise_limit"):
            check_range(name, getattr(self, name), low=1e-9, high=1)
        for name in ("cycle_mul", "k_decay", "power", "decay_epochs", "noise_std"):
            check_range(name, getattr(self, name), low=1e-9)
        check_range("cycles", self.cycles, low=1)
        check_range("decay_steps", 1 if self.decay_steps is None else self.decay_steps, low=1)
        self._check_lists()

    def _refuse_unused(self) -> None:
        tied = {name for names in _USED.values() for name in names} - set(_USED[self.name])
        for item in fields(self):
            if item.name in tied and getattr(self, item.name) != item.default:
                owners = ", ".join(name for name, names in _USED.items() if item.name in names)
                raise ConfigError(
                    f"schedule {self.name!r} does not use {item.name}, which belongs to: {owners}"
                )
        if not self.noise and (self.noise_std, self.noise_limit) != (1.0, 0.67):
            raise ConfigError("noise_std and noise_limit are of noise: give noise, or leave them out")
        for kind in ("warmup", "cooldown", "decay"):
            steps, epochs = getattr(self, f"{kind}_steps"), f"{kind}_epochs"
            if steps is not None and getattr(self, epochs) != type(self).__dataclass_fields__[epochs].default:
                raise ConfigError(f"{kind}_steps and {epochs} say the same: give one of them")

    def _check_lists(self) -> None:
        if self.decay_shape not in ("linear", "sqrt", "cosine"):
            raise ConfigError(f"decay_shape is {self.decay_shape!r}, allowed: linear, sqrt, cosine")
        if list(self.decay_milestones) != sorted(self.decay_milestones):
            raise ConfigError(f"decay_milestones must rise, got {self.decay_milestones}")
        if self.name == "multistep" and not self.decay_milestones:
            raise ConfigError("schedule 'multistep' needs decay_milestones, epochs after which to cut")
        if len(self.noise) > 2 or list(self.noise) != sorted(self.noise):
            raise ConfigError(f"noise takes one or two rising shares of the run, got {self.noise}")
        for share in self.noise:
            check_range("noise", share, low=0, high=1)

    def lowest(self, lr: float) -> float:
        """The learning rate at the end."""
        if self.min_lr is not None:
            return self.min_lr
        return 0.0 if self.name in ("step", "multistep", "plateau") else lr / 10
