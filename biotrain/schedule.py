"""The learning rate as a pure function of the step (and of past validations, for `plateau`). No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from biotrain.schedule_config import SCHEDULES, ScheduleConfig

__all__ = ["SCHEDULES", "Schedule", "ScheduleConfig", "build_schedule", "first_other", "warmup_steps"]

_NOISE = 4
"""Number of the random stream beside those of `biotrain.parts.STREAMS`."""


class Moment(NamedTuple):
    """Where a step stands.

    Attributes:
        done: steps before it, warm-up included.
        share: of the way from the end of the warm-up to the cool-down, 0 to 1.
        rest: steps from here to the cool-down.
        schedule: settings and lengths.
        scale: product of the cuts that `plateau` has made.
    """

    done: int
    share: float
    rest: int
    schedule: Schedule
    scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A schedule with its lengths in steps.

    Attributes:
        steps: of the whole run, >= 1.
        per_epoch: steps of an epoch.
        warmup: steps of the rise; step `warmup` has the peak.
        cooldown: steps at `low` at the end.
        peak: highest rate.
        low: lowest rate after the warm-up.
        seed: of the noise.
    """

    config: ScheduleConfig
    steps: int
    per_epoch: int
    warmup: int
    cooldown: int
    peak: float
    low: float
    seed: int = 0

    def rate(self, step: int, *, scale: float = 1.0) -> float:
        """The learning rate of one optimizer step, 1-based.

        >>> made = build_schedule(ScheduleConfig(name="linear", warmup_steps=2, min_lr=0.1), steps=5,
        ...                       per_epoch=5, peak=1.0)
        >>> [round(made.rate(step), 2) for step in range(1, 6)]
        [0.5, 1.0, 0.7, 0.4, 0.1]
        """
        config = self.config
        if step < self.warmup:
            rate = config.warmup_lr + (self.peak - config.warmup_lr) * step / self.warmup
        else:
            start = max(self.warmup, 1) if config.warmup_prefix else 1
            stop = max(start, self.steps - self.cooldown)
            share = min(1.0, (step - start) / (stop - start)) if stop > start else float(step > stop)
            moment = Moment(step - 1, share, stop - step, self, scale)
            rate = SCHEDULES.load(config.name)(moment, self.peak, self.low)
        return rate * (1.0 + self._noise(step))

    def _noise(self, step: int) -> float:
        """Normal noise, drawn again while beyond the limit (timm's rule); a function of (seed, step)."""
        config = self.config
        if not config.noise:
            return 0.0
        first, last = config.noise[0], config.noise[1] if len(config.noise) > 1 else 1.0
        if not first <= (step - 1) / self.steps < last:
            return 0.0
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, _NOISE, step])))
        while abs(noise := random.normal(0.0, config.noise_std)) >= config.noise_limit:
            pass
        return noise


def first_other(one: Schedule, other: Schedule, *, steps: int) -> int | None:
    """The first of the steps 1 to `steps` whose learning rate would differ, whatever validations have shown.

    Args:
        one: a schedule.
        other: that of a run with other lengths.
        steps: to compare.
    """
    scales = (1.0, 0.5) if "plateau" in (one.config.name, other.config.name) else (1.0,)
    for step in range(1, steps + 1):
        if any(one.rate(step, scale=scale) != other.rate(step, scale=scale) for scale in scales):
            return step
    return None


def build_schedule(
    config: ScheduleConfig, *, steps: int, per_epoch: int, peak: float, seed: int = 0
) -> Schedule:
    """A schedule for a run of `steps` steps, `per_epoch` in each epoch.

    Args:
        config: form of the schedule, warm-up, cool-down.
        steps: optimizer steps of the whole run.
        per_epoch: optimizer steps of an epoch.
        peak: highest learning rate.
        seed: of schedules that draw.
    """
    cooldown = config.cooldown_steps
    cooldown = round(config.cooldown_epochs * per_epoch) if cooldown is None else cooldown
    warmup = warmup_steps(config, steps=steps, per_epoch=per_epoch)
    low = config.lowest(peak)
    return Schedule(config=config, steps=steps, per_epoch=per_epoch, warmup=warmup,
                    cooldown=min(cooldown, steps - warmup), peak=peak, low=low, seed=seed)  # fmt: skip


def warmup_steps(config: ScheduleConfig, *, steps: int, per_epoch: int) -> int:
    """Steps of warm-up: those given, else epochs, else a share of all steps (rounded), never more than all.

    Args:
        config: with steps, epochs or a share of all steps.
        steps: optimizer steps of the whole run.
        per_epoch: optimizer steps of an epoch.

    >>> warmup_steps(ScheduleConfig(), steps=1000, per_epoch=100)
    50
    """
    given = config.warmup_steps
    if given is None:
        epochs = config.warmup_epochs
        given = round(config.warmup_fraction * steps if epochs is None else epochs * per_epoch)
    return min(steps, given)


def constant(moment: Moment, peak: float, low: float) -> float:
    """Stays at the peak."""
    return peak


def linear(moment: Moment, peak: float, low: float) -> float:
    """low + (peak - low)(1 - share)."""
    peak, share = _cycle(moment, peak)
    return low + (peak - low) * (1.0 - share)


def cosine(moment: Moment, peak: float, low: float) -> float:
    """low + (peak - low)(1 + cos(pi share^k)) / 2 (arXiv:1608.03983, eq. 5; k: arXiv:2004.05909)."""
    peak, share = _cycle(moment, peak)
    return low + (peak - low) * _wave(share**moment.schedule.config.k_decay)


def polynomial(moment: Moment, peak: float, low: float) -> float:
    """low + (peak - low)(1 - share^k)^power."""
    config = moment.schedule.config
    peak, share = _cycle(moment, peak)
    return low + (peak - low) * (1.0 - share**config.k_decay) ** config.power


def wsd(moment: Moment, peak: float, low: float) -> float:
    """At the peak until the last `decay_fraction` of all steps, then down (arXiv:2404.06395, eq. 1; the
    shape 1 - sqrt: arXiv:2405.18392, eq. 2)."""
    config, plan = moment.schedule.config, moment.schedule
    room = plan.steps - plan.cooldown - max(plan.warmup, 1)
    length = min(room, round(config.decay_fraction * plan.steps))
    if moment.rest >= max(0, length):
        return peak
    share = 1.0 - moment.rest / length if moment.rest > 0 else 1.0
    height = {"linear": 1.0 - share, "sqrt": 1.0 - math.sqrt(share), "cosine": _wave(share)}
    return low + (peak - low) * height[config.decay_shape]


def step(moment: Moment, peak: float, low: float) -> float:
    """Cut every `decay_steps` or `decay_epochs`, counted from the first step."""
    config = moment.schedule.config
    every = config.decay_steps or max(1, round(config.decay_epochs * moment.schedule.per_epoch))
    return max(low, peak * config.decay_rate ** (moment.done // every))


def multistep(moment: Moment, peak: float, low: float) -> float:
    """Cut after each of `decay_milestones`."""
    config = moment.schedule.config
    epoch = moment.done / moment.schedule.per_epoch
    cuts = sum(epoch >= milestone for milestone in config.decay_milestones)
    return max(low, peak * config.decay_rate**cuts)


def plateau(moment: Moment, peak: float, low: float) -> float:
    """Cut when the validation loss no longer falls (`biotrain.watch`)."""
    return max(low, peak * moment.scale)


def _wave(share: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * share)) if share < 1 else 0.0


def _cycle(moment: Moment, peak: float) -> tuple[float, float]:
    """Top of the cycle a step is in, and share of it; cycle i is `cycle_mul`^i as long as the first."""
    config = moment.schedule.config
    place = moment.share * sum(config.cycle_mul**i for i in range(config.cycles))
    for number in range(config.cycles):
        length = config.cycle_mul**number
        if place < length - 1e-9 or number == config.cycles - 1:
            top = peak * config.cycle_decay**number
            return max(top, moment.schedule.low), min(1.0, max(0.0, place / length))
        place -= length
    raise AssertionError("the last cycle returns")
