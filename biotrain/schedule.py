"""The learning rate as a pure function of the step. Imports no torch."""

from __future__ import annotations

import math

from biodata.catalog import Catalog

SCHEDULES = Catalog(
    "schedule",
    {
        "constant": "biotrain.schedule:constant",
        "cosine": "biotrain.schedule:cosine",
        "linear": "biotrain.schedule:linear",
    },
)
"""Name to a function of the share of the way after the warm-up, 0 to 1, that falls from 1 to 0."""


def constant(share: float) -> float:
    """Stays at the peak; the minimum is never approached."""
    return 1.0


def linear(share: float) -> float:
    """Falls in a straight line."""
    return 1.0 - share


def cosine(share: float) -> float:
    """Falls as half a cosine wave (arXiv:1608.03983, eq. 5, one cycle).

    >>> cosine(0.0), cosine(0.5), cosine(1.0)
    (1.0, 0.5, 0.0)
    """
    return 0.5 * (1.0 + math.cos(math.pi * share)) if share < 1 else 0.0


def learning_rate(step: int, *, name: str, steps: int, warmup: int, peak: float, low: float = 0.0) -> float:
    """The learning rate of one optimizer step.

    The warm-up rises in a straight line and reaches `peak` at step `warmup`; from there the rate falls and
    reaches `low` at the last step.

    Args:
        step: 1-based, up to `steps`.
        name: entry of `SCHEDULES`.
        steps: of the whole run, >= 1.
        warmup: steps of the rise, 0 = none.
        peak: highest rate.
        low: rate at the last step (ignored by `constant`).

    >>> [round(learning_rate(s, name="linear", steps=5, warmup=2, peak=1.0, low=0.1), 2) for s in range(1, 6)]
    [0.5, 1.0, 0.7, 0.4, 0.1]
    """
    if step < warmup:
        return peak * step / warmup
    start = max(warmup, 1)
    share = min(1.0, (step - start) / (steps - start)) if steps > start else 0.0
    height = SCHEDULES.load(name)(share)
    return height * peak + (1.0 - height) * low


def warmup_steps(steps: int, *, given: int | None, fraction: float) -> int:
    """Steps of warm-up: the number given, else a share of all steps (rounded), never more than all.

    >>> warmup_steps(1000, given=None, fraction=0.05), warmup_steps(10, given=50, fraction=0.05)
    (50, 10)
    """
    return min(steps, round(steps * fraction) if given is None else given)
