"""A run that goes on with another length or schedule than it was begun with.

Allowed where the steps done would have been the same: the run then ends as one that had the new length from
the start. Whatever else a step depends on (order, masks, dropout, average) is a function of seed and step.
"""

from __future__ import annotations

from dataclasses import replace

from biodata.errors import ConfigError
from biotrain import rundir
from biotrain.checkpoint import RunState, checkpoints
from biotrain.config import TrainConfig
from biotrain.parts import Parts, schedule_of
from biotrain.schedule import first_other


def prolonged(parts: Parts, state: RunState) -> bool:
    """Whether the run goes on with another length or schedule.

    Args:
        parts: of the run as it is wanted now.
        state: of its newest checkpoint.

    Raises:
        ConfigError: the steps done would have been others.
    """
    config, out = parts.config, parts.config.paths().out
    before = rundir.begun_with(config, out)
    if all(getattr(before, name) == getattr(config, name) for name in rundir.LENGTH):
        return False
    rundir.check_room(out, done=state.step, wanted=parts.steps)
    if state.stopped:
        raise ConfigError(
            f"{out} has stopped early after step {state.step:,} (early_stop {config.early_stop}), as it "
            f"would have with another length: {anew(config)}"
        )
    _same_past(parts, before, state.step)
    return True


def _same_past(parts: Parts, before: TrainConfig, done: int) -> None:
    config, out = parts.config, parts.config.paths().out
    if "plateau" in (before.schedule.name, config.schedule.name):
        for name in ("name", "patience", "decay_rate"):
            was, now = getattr(before.schedule, name), getattr(config.schedule, name)
            if was != now:
                raise ConfigError(
                    f"{out} holds a run with another configuration (schedule.{name} {was!r} -> {now!r}), "
                    "which changes what past validations did: choose another --out"
                )
    old = schedule_of(before, samples=len(parts.train))
    step = first_other(old, parts.schedule, steps=done)
    if step is not None:
        rates = (
            (at, f"{old.rate(at):.4g}", f"{parts.schedule.rate(at):.4g}") for at in range(step, done + 1)
        )
        shown = next((rate for rate in rates if rate[1] != rate[2]), None)
        at, was, now = shown or (step, repr(old.rate(step)), repr(parts.schedule.rate(step)))
        raise ConfigError(
            f"{out} has done {done:,} of {old.steps:,} steps; with {parts.steps:,} by schedule "
            f"{config.schedule.name!r} the learning rate of step {at:,} would have been {now} instead of "
            f"{was}, so that this is another run: {_advice(parts, before, done=done, other=step)}"
        )


def _advice(parts: Parts, before: TrainConfig, *, done: int, other: int) -> str:
    """What to do instead; `other` is the first step that would have been another."""
    samples = len(parts.train)
    old, config = schedule_of(before, samples=samples), parts.config
    kept = replace(config.schedule, warmup_steps=old.warmup, warmup_epochs=None)
    if old.warmup != parts.schedule.warmup:
        new = schedule_of(replace(config, schedule=kept), samples=samples)
        if first_other(old, new, steps=done) is None:
            return f"give --warmup-steps {old.warmup} too, the warm-up that it had"
    found = checkpoints(config.paths().out / rundir.CHECKPOINTS)
    early = [path for path in found if int(path.name[5:]) < other]
    if early:
        late = " and ".join(str(path) for path in found[len(early) :])
        return f"delete {late} to go on from {early[-1].name}, which is the same in both, or {anew(config)}"
    return anew(config)


def anew(config: TrainConfig) -> str:
    """What to do instead of going on."""
    return f"begin a new run from its weights by --init-from {config.out} --out OTHER"
