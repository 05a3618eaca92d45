"""The training loop.

    prepare -> [ validate -> step -> log -> checkpoint ] ... -> validate on everything -> export -> summary

Each bracket is one optimizer step, and a checkpoint holds all that the next one depends on. Killed at any
moment and resumed, a run on the same machine ends with the same bits, and its log with the same lines but
for the wall-clock fields (`WALL_CLOCK`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from typing import Any, NoReturn

import torch

from biodata.configs import to_dict
from biodata.dataset import open_dataset
from biodata.errors import ConfigError, InterruptedRunError, SeqloomError
from biodata.files import write_json
from biodata.progress import progress, say
from biotrain import rundir
from biotrain.checkpoint import RunState, Trained, checkpoints, load_checkpoint, save_checkpoint
from biotrain.config import TrainConfig, TrainPaths
from biotrain.device import choose_hardware, using
from biotrain.diffusion.notes import sampling_note
from biotrain.distributed import joined
from biotrain.estimate import check_letters, dry_run
from biotrain.export import export_model
from biotrain.interrupt import StopRequest
from biotrain.layers.transformer import Transformer
from biotrain.loader import Rows, batches_from
from biotrain.log import LOG_FILE, Log, Meter, NoLog, NonFiniteError, RunLog, StepResult, training_bar
from biotrain.optim.groups import set_learning_rate
from biotrain.parallel import whole_model
from biotrain.parts import Parts, build_parts
from biotrain.prolong import anew, prolonged
from biotrain.records import WALL_CLOCK, Interval, summary_of, training_line
from biotrain.start import start_inputs, start_provenance
from biotrain.step import train_step, validate
from biotrain.trackers import check_installed, open_tracker
from biotrain.watch import Watch

__all__ = ["WALL_CLOCK", "dry_run", "train"]

ADVICE = "try a smaller optim.lr, a longer warm-up (schedule.warmup_steps) or precision fp32"


def train(config: TrainConfig) -> dict[str, Any]:
    """Trains a model, or goes on with it (`config.resume`), or finds it trained already.

    Writes `config.yaml`, `training_log.jsonl`, `checkpoints/`, `model/` and `summary.json` into
    `config.out`; the last one only when everything else is there.

    Returns:
        `run`, `step`, `tokens`, `train_loss` (training loss at the last log line), `val_loss` (plain
        cross-entropy per token, nats, on the whole validation split), `val_perplexity`, `val_objective`
        (the training loss there), `tokens_per_s`, `mfu` (achieved / possible FLOP/s, 0 to 1).

    Raises:
        ConfigError: settings that do not fit, or a run folder that holds something else.
        DataError: unusable data, or a damaged checkpoint.
        NonFiniteError: the loss is no number any more.
        InterruptedRunError: stopped by Ctrl-C or SIGTERM, with a checkpoint.
    """
    paths = config.paths()
    with joined(config.parallel, device=config.device) as team, ExitStack() as held:
        dataset = open_dataset(paths.data)
        inputs = rundir.fingerprints(dataset.manifest, paths.tokenizer) | start_inputs(config)
        summary = team.from_first(lambda: _finished(config, inputs, held))
        if summary is not None:
            return rundir.result(summary)
        check_letters(config, dataset.manifest.get("alphabet", ""))
        hardware = choose_hardware(
            device=team.device(config.device),
            precision=config.precision,
            threads=team.threads(config.threads),
        )
        with using(hardware):
            parts = build_parts(config, dataset, hardware, team=team)
            state = _start(parts, inputs)
            state.provenance = rundir.provenance(dataset.manifest) | start_provenance(config, state)
            if not state.provenance["exclusion"]["enabled"]:
                say("the dataset was built without the biosafety exclusion (docs/curation.md): noted")
            say(
                f"training on {team.named()}{hardware.device}, {hardware.precision} ({hardware.reason}), "
                f"{hardware.threads} CPU thread(s), {parts.steps:,} steps"
            )
            log = held.enter_context(_log(parts, state)) if team.first else NoLog()
            return rundir.result(_Run(parts, state, log).complete(paths))


def _finished(config: TrainConfig, inputs: Mapping[str, str], held: ExitStack) -> dict[str, Any] | None:
    """Locks the run folder; the summary of a run that has ended there."""
    out = config.paths().out
    check_installed(config.log)
    held.enter_context(rundir.locked(out))
    return rundir.finished(config, out, inputs=inputs)


def _start(parts: Parts, inputs: Mapping[str, str]) -> RunState:
    """The newest checkpoint's state with its weights loaded, or that of a run at its beginning."""
    out, hardware = parts.config.paths().out, parts.describe()
    found = checkpoints(out / rundir.CHECKPOINTS)
    if not found:
        if (out / rundir.SUMMARY_FILE).exists():
            raise ConfigError(f"{out} has no checkpoint left to go on from: {anew(parts.config)}")
        if parts.config.resume:
            say(f"{out} has no checkpoint: starting at the beginning")
        if parts.team.first:
            rundir.begin(parts.config, out)
        return RunState(inputs=dict(inputs), hardware=hardware)
    state = load_checkpoint(found[-1], Trained(parts.model, parts.optimizer, parts.ema))
    rundir.same_inputs(inputs, state.inputs, out)
    if prolonged(parts, state) and parts.team.first:
        rundir.begin_again(parts.config, out)
    say(f"going on after step {state.step:,} of {parts.steps:,} ({found[-1]})")
    if state.hardware != hardware:
        say(f"begun on {state.hardware}, now {hardware}: the last bits will differ")
        state.hardware = hardware
    return state


def _log(parts: Parts, state: RunState) -> RunLog:
    config, out = parts.config, parts.config.paths().out
    trackers = [open_tracker(name, out, step=state.step, settings=to_dict(config)) for name in config.log]
    return RunLog(out / LOG_FILE, size=state.log_bytes, trackers=trackers)


class _Run:
    """A run between its first and last step."""

    def __init__(self, parts: Parts, state: RunState, log: Log) -> None:
        self.parts, self.config, self.state, self.log = parts, parts.config, state, log
        self.checkpoints = self.config.paths().out / rundir.CHECKPOINTS
        self.meter, self.watch = Meter(state.sums, grad_norm=state.grad_norm), Watch(**state.watch)

    def complete(self, paths: TrainPaths) -> dict[str, Any]:
        """Trains to the end and writes what a finished run has; the summary last."""
        with StopRequest(alone=self.parts.team.size == 1) as stop:
            self._train(stop)
            batches = -(-len(self.parts.validation) // self.config.batch_size)
            with progress("validating", batches) as tick:
                scores = self._validate(lambda: tick(1) or stop.asked, batches=0)
            with self._averaged():
                model = whole_model(self.parts.model, self.parts.team)
                return self.parts.team.from_first(lambda: self._write(model, scores, paths))

    def _write(self, model: Transformer, scores: Mapping[str, float], paths: TrainPaths) -> dict[str, Any]:
        state = self.state
        made = {"step": state.step, "tokens": state.tokens, "inputs": state.inputs, **state.provenance}
        made |= sampling_note(self.config.objective.name, self.parts.train.length)
        export_model(model, paths.tokenizer, paths.out / rundir.MODEL, metadata=made)
        summary = {"run": str(paths.out), **summary_of(self.parts, state, scores)}
        write_json(paths.out / rundir.SUMMARY_FILE, summary)
        return summary

    def _train(self, stop: StopRequest) -> None:
        config, state, steps = self.config, self.state, self.parts.steps
        position = {"epoch": state.epoch, "batch": state.batch}
        stream = batches_from(self.parts.train, size=config.rows_per_step, seed=config.seed, **position)
        loss, rate = None, 0.0
        with training_bar("training", total=steps, done=state.step) as advance:
            while state.step < steps and not state.stopped:
                if _due(state.step, config.eval_every) and self._look(stop):
                    break
                epoch, batch, rows = next(stream)
                step = state.step + 1
                last = step == steps
                log_due = step == 1 or _due(step, config.log_every)
                save_due = last or _due(step, config.checkpoint_every)
                with self.meter.clock():
                    result = self._step(rows, step)
                    if log_due or save_due:
                        self._settle()
                state.step, state.epoch, state.batch = step, epoch, batch + 1
                state.tokens += result.tokens
                if log_due:
                    loss, rate = self._write_line()
                if save_due:
                    self._save()
                if self.parts.team.any(stop.asked) and not last:
                    self._interrupt()
                advance(step, loss, rate)
        if self.meter.sums["targets"]:  # after the checkpoint, which a longer run goes on from
            self._write_line()

    def _step(self, rows: Rows, step: int) -> StepResult:
        set_learning_rate(self.parts.optimizer, self._rate(step))
        try:
            result = train_step(self.parts, rows, step)
        except torch.OutOfMemoryError as error:
            size = self.config.batch_size
            raise SeqloomError(
                f"out of GPU memory at step {step} with batch_size {size}: a smaller one with as much larger "
                f"accumulate gives the same result (now {self.config.accumulate})"
            ) from error
        if self.parts.ema is not None:
            self.parts.ema.update(step)
        self.meter.add(step, result)
        return result

    def _rate(self, step: int) -> float:
        return self.parts.schedule.rate(step, scale=self.watch.scale)

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.parts.ema is None else self.parts.ema.applied()

    def _look(self, stop: StopRequest) -> bool:
        """Validates on the way; whether the loss has not fallen for too long, so that the run ends here."""
        config, state = self.config, self.state
        scores = self._validate(lambda: stop.asked, batches=config.eval_batches)
        plateau = config.schedule.name == "plateau"
        rate = config.schedule.decay_rate if plateau else 1.0
        self.watch.see(scores["val_loss"], patience=config.schedule.patience, rate=rate)
        state.watch = asdict(self.watch)
        if not 0 < config.early_stop <= self.watch.stale:
            return False
        say(f"stopping early after step {state.step:,}: no gain in {self.watch.stale} validations")
        self._settle()
        if self.meter.sums["targets"]:
            self._write_line()
        state.stopped = True
        self._save()
        return True

    def _settle(self) -> None:
        try:
            self.meter.settle()
        except NonFiniteError as error:
            found = checkpoints(self.checkpoints)
            kept = f"{found[-1]} is kept" if found else "there is no checkpoint yet"
            raise NonFiniteError(f"{error}; {ADVICE}; {kept}") from error

    def _write_line(self) -> tuple[float, float]:
        """One line of the training log; gives loss and tokens per second."""
        state, sums = self.state, self.meter.take()
        state.train_seconds += sums["seconds"]
        interval = Interval(sums, self._rate(state.step), self.meter.grad_norm)
        line = training_line(self.parts, state, interval)
        state.train_loss = line["loss"]
        self.log.write(line)
        return line["loss"], line["tokens_per_s"]

    def _validate(self, stopped: Callable[[], bool], *, batches: int) -> dict[str, float]:
        with self._averaged():
            scores = validate(self.parts, batches=batches, stopped=stopped)
        if scores is None:
            self._interrupt()
        if not math.isfinite(scores["val_loss"] + scores["val_objective"]):
            raise NonFiniteError(
                f"validation loss {scores['val_loss']:g} at step {self.state.step}; {ADVICE}"
            )
        whole = {"whole_split": batches == 0}
        self.log.write({"step": self.state.step, "tokens": self.state.tokens, **scores, **whole})
        return scores

    def _save(self) -> None:
        self._settle()
        self.state.sums, self.state.grad_norm = dict(self.meter.sums), self.meter.grad_norm
        self.state.log_bytes = self.log.sync()
        trained = Trained(self.parts.model, self.parts.optimizer, self.parts.ema)
        save_checkpoint(
            self.checkpoints,
            trained,
            state=self.state,
            keep=self.config.keep_checkpoints,
            team=self.parts.team,
        )

    def _interrupt(self) -> NoReturn:
        step, steps = self.state.step, self.parts.steps
        if step:
            self._save()
        advice = "go on by the same command with --resume" if step else "nothing was trained yet"
        raise InterruptedRunError(f"stopped after step {step:,} of {steps:,}: {advice}")


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
