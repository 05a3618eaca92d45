"""The training loop.

    prepare -> [ validate -> step -> log -> checkpoint ] ... -> validate on everything -> export -> summary

Each bracket is one optimizer step, and a checkpoint holds all that the next one depends on. Killed at any
moment and resumed, a run on the same machine ends with the same bits, and its log with the same lines but
for the wall-clock fields (`WALL_CLOCK`).
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

import biodata
from biodata.dataset import open_dataset
from biodata.errors import InterruptedRunError, SeqloomError
from biodata.files import write_json
from biodata.progress import progress, say
from biotrain import rundir
from biotrain.checkpoint import RunState, Trained, checkpoints, load_checkpoint, save_checkpoint
from biotrain.config import TrainConfig, TrainPaths
from biotrain.device import choose_hardware, using
from biotrain.estimate import dry_run
from biotrain.export import export_model
from biotrain.interrupt import StopRequest
from biotrain.loader import Rows, Samples, batches_from
from biotrain.log import LOG_FILE, SUMS, Meter, NonFiniteError, RunLog, StepResult, perplexity, training_bar
from biotrain.models import count_parameters
from biotrain.optim.groups import set_learning_rate
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step, validate
from biotrain.watch import Watch

__all__ = ["WALL_CLOCK", "dry_run", "train"]

WALL_CLOCK = ("seconds", "tokens_per_s", "mfu")
"""Fields of the log that depend on how fast the machine was."""

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
    dataset = open_dataset(paths.data)
    inputs = rundir.fingerprints(dataset.manifest, paths.tokenizer)
    with rundir.locked(paths.out):
        if (summary := rundir.finished(config, paths.out)) is not None:
            rundir.same_inputs(inputs, summary["inputs"], paths.out)
            return rundir.result(summary)
        hardware = choose_hardware(device=config.device, precision=config.precision, threads=config.threads)
        with using(hardware):
            parts = build_parts(config, dataset, hardware)
            state = _start(parts, inputs, paths.out)
            state.provenance = rundir.provenance(dataset.manifest)
            if not state.provenance["exclusion"]["enabled"]:
                say("the dataset was built without the biosafety exclusion (docs/curation.md): noted")
            say(
                f"training on {hardware.device}, {hardware.precision} ({hardware.reason}), "
                f"{hardware.threads} CPU thread(s), {parts.steps:,} steps"
            )
            with RunLog(paths.out / LOG_FILE, size=state.log_bytes) as log:
                summary = _Run(parts, state, log).complete(paths)
        return rundir.result(summary)


def _start(parts: Parts, inputs: Mapping[str, str], out: Path) -> RunState:
    """The newest checkpoint's state with its weights loaded, or that of a run at its beginning."""
    found = checkpoints(out / rundir.CHECKPOINTS)
    if not found:
        if parts.config.resume:
            say(f"{out} has no checkpoint: starting at the beginning")
        rundir.begin(parts.config, out)
        return RunState(inputs=dict(inputs), hardware=parts.hardware.describe())
    state = load_checkpoint(found[-1], Trained(parts.model, parts.optimizer, parts.ema))
    rundir.same_inputs(inputs, state.inputs, out)
    say(f"going on after step {state.step:,} of {parts.steps:,} ({found[-1]})")
    if state.hardware != parts.hardware.describe():
        say(f"begun on {state.hardware}, now {parts.hardware.describe()}: the last bits will differ")
        state.hardware = parts.hardware.describe()
    return state


class _Run:
    """A run between its first and last step."""

    def __init__(self, parts: Parts, state: RunState, log: RunLog) -> None:
        self.parts, self.config, self.state, self.log = parts, parts.config, state, log
        self.checkpoints = self.config.paths().out / rundir.CHECKPOINTS
        self.meter, self.watch = Meter(state.sums), Watch(**state.watch)
        self.peak = parts.hardware.peak_flops()
        self.batches_per_epoch = -(-len(parts.train) // self.config.rows_per_step)

    def complete(self, paths: TrainPaths) -> dict[str, Any]:
        """Trains to the end and writes what a finished run has; the summary last."""
        with StopRequest() as stop:
            self._train(stop)
            batches = -(-len(self.parts.validation) // self.config.batch_size)
            with progress("validating", batches) as tick:
                scores = self._validate(lambda: tick(1) or stop.asked, batches=0)
            made = {"step": self.state.step, "tokens": self.state.tokens, "inputs": self.state.inputs}
            made |= self.state.provenance
            with self._averaged():
                export_model(self.parts.model, paths.tokenizer, paths.out / rundir.MODEL, metadata=made)
            summary = {"run": str(paths.out), **self._summary(scores)}
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
                log_due = last or step == 1 or _due(step, config.log_every)
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
                if stop.asked and not last:
                    self._interrupt()
                advance(step, loss, rate)

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
        targets = max(1.0, sums["targets"])
        state.train_seconds += sums["seconds"]
        state.train_loss = sums["loss"] / targets
        rate = sums["tokens"] / max(1e-9, sums["seconds"])
        xe = sums["xe"] / targets
        plain = {"xe": xe, "perplexity": perplexity(xe)} if self.parts.objective.predicts_tokens else {}
        self.log.write(
            {
                "step": state.step,
                "epoch": round(state.epoch + state.batch / self.batches_per_epoch, 6),
                "tokens": state.tokens,
                "loss": state.train_loss,
                **plain,
                "lr": self._rate(state.step),
                "grad_norm": self.meter.grad_norm,
                **{name: value / targets for name, value in sums.items() if name not in SUMS},
                "seconds": round(state.train_seconds, 3),
                "tokens_per_s": round(rate, 1),
                "mfu": self._mfu(rate),
            }
        )
        return state.train_loss, rate

    def _mfu(self, rate: float) -> float:
        """Model FLOP/s over the FLOP/s that the hardware could do (PaLM, arXiv:2204.02311, appendix B)."""
        return round(rate * self.parts.flops / self.peak, 4)

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
        self.state.sums, self.state.log_bytes = dict(self.meter.sums), self.log.sync()
        save_checkpoint(
            self.checkpoints,
            Trained(self.parts.model, self.parts.optimizer, self.parts.ema),
            state=self.state,
            keep=self.config.keep_checkpoints,
        )

    def _interrupt(self) -> NoReturn:
        step, steps = self.state.step, self.parts.steps
        if step:
            self._save()
        advice = "go on by the same command with --resume" if step else "nothing was trained yet"
        raise InterruptedRunError(f"stopped after step {step:,} of {steps:,}: {advice}")

    def _summary(self, scores: Mapping[str, float]) -> dict[str, Any]:
        state, parts = self.state, self.parts
        rate = state.tokens / max(1e-9, state.train_seconds)
        versions = {"seqloom": biodata.__version__, "python": platform.python_version()}
        versions |= {"torch": torch.__version__, "numpy": np.__version__}
        size = parts.tokenizer.vocab_size
        return {
            "step": state.step,
            "tokens": state.tokens,
            "train_loss": state.train_loss,
            **scores,
            "tokens_per_s": round(rate, 1),
            "mfu": self._mfu(rate),
            "seconds": round(state.train_seconds, 3),
            "parameters": count_parameters(self.config.model, vocab_size=size),
            "flops_per_token": parts.flops,
            "peak_flops": self.peak,
            "stopped_early": state.stopped,
            "weights": "last" if parts.ema is None else f"average (ema_decay {self.config.ema_decay:g})",
            "data": {"train": _describe(parts.train), "validation": _describe(parts.validation)},
            "inputs": state.inputs,
            **state.provenance,
            "hardware": state.hardware,
            "versions": versions,
        }


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _describe(samples: Samples) -> dict[str, float]:
    return {
        "sequences": samples.sequences,
        "samples": len(samples),
        "cut_sequences": samples.cut,
        "tokens": samples.tokens,
        "unknown_rate": samples.unknown,
    }
