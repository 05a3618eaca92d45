"""`training_log.jsonl`, the sums behind its lines, and the progress bar."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from biodata.errors import DataError, SeqloomError
from biodata.progress import speaks
from biotrain.trackers import Tracker

LOG_FILE = "training_log.jsonl"
SUMS: tuple[str, ...] = ("loss", "xe", "targets", "tokens", "seconds")


class NonFiniteError(SeqloomError):
    """Loss or gradient is no longer a number."""


class Log(Protocol):
    """Where the lines of a run go."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds a line."""
        ...

    def sync(self) -> int:
        """Forces the lines to disk; bytes of the file."""
        ...


class NoLog:
    """Of processes that leave the log to the first one."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Nothing."""

    def sync(self) -> int:
        """Nothing."""
        return 0


class RunLog:
    """A file of one JSON object per line that can be cut back to where a checkpoint was written.

    Args:
        path: the file.
        size: bytes to keep; what was written after the checkpoint is written again by the resumed run.
        trackers: where the lines go too.

    Raises:
        DataError: the file is shorter than that.
    """

    def __init__(self, path: Path, *, size: int, trackers: Sequence[Tracker] = ()) -> None:
        self._trackers = trackers
        path.touch()
        if path.stat().st_size < size:
            raise DataError(f"shorter than the {size} bytes that the checkpoint knows of", where=path)
        os.truncate(path, size)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds a line."""
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.add(record)

    def sync(self) -> int:
        """Forces the lines to disk and returns the length of the file in bytes."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


class StepResult(NamedTuple):
    """What one optimizer step tells; the tensors stay on the device until they are looked at."""

    loss: Tensor
    """Mean training loss over the step's targets, nats."""
    xe: Tensor | None
    """Mean plain cross-entropy over them, nats; `None` when tokens are not what is predicted."""
    grad_norm: Tensor
    targets: int
    """Tokens that were predicted, or rows."""
    tokens: int
    """Real tokens that the model read."""
    more: Mapping[str, Tensor] | None = None
    """Further scalars for the log, whose means over the interval are weighted by the targets."""


class Meter:
    """Adds up steps between two log lines, looking at the device only when asked.

    Args:
        sums: of an interrupted interval, from a checkpoint.
        grad_norm: of its last step.
    """

    def __init__(self, sums: Mapping[str, float], *, grad_norm: float = 0.0) -> None:
        self.sums = dict.fromkeys(SUMS, 0.0) | dict(sums)
        self.grad_norm = grad_norm
        self._waiting: list[tuple[int, StepResult]] = []

    def add(self, step: int, result: StepResult) -> None:
        """Remembers a step without waiting for the device."""
        self._waiting.append((step, result))

    def settle(self) -> None:
        """Waits for the device and adds what was remembered.

        Raises:
            NonFiniteError: loss or gradient norm of a step is not a number.
        """
        if not self._waiting:
            return
        steps, results = zip(*self._waiting)
        self._waiting = []
        values = torch.stack([_looked_at(result) for result in results]).tolist()
        for step, result, (loss, xe, norm, *more) in zip(steps, results, values):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise NonFiniteError(f"loss {loss:g} with gradient norm {norm:g} at step {step}")
            self.sums["loss"] += loss * result.targets
            self.sums["xe"] += xe * result.targets
            self.sums["targets"] += result.targets
            self.sums["tokens"] += result.tokens
            for name, value in zip(result.more or (), more):
                self.sums[name] = self.sums.get(name, 0.0) + value * result.targets
            self.grad_norm = norm

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Counts the block's wall time as training."""
        begin = time.perf_counter()
        yield
        self.sums["seconds"] += time.perf_counter() - begin

    def take(self) -> dict[str, float]:
        """The sums since the last call, which start again from 0."""
        sums, self.sums = self.sums, dict.fromkeys(SUMS, 0.0)
        return sums


def _looked_at(result: StepResult) -> Tensor:
    more = () if result.more is None else result.more.values()
    xe = torch.zeros_like(result.loss) if result.xe is None else result.xe
    return torch.stack((result.loss, xe, result.grad_norm, *more)).double()


def perplexity(xe: float) -> float:
    """exp of a cross-entropy in nats; the largest float where that is too much for one.

    >>> perplexity(0.0), perplexity(1e6) == sys.float_info.max
    (1.0, True)
    """
    return math.exp(xe) if xe < math.log(sys.float_info.max) else sys.float_info.max


Advance = Callable[[int, "float | None", float], None]


@contextmanager
def training_bar(label: str, *, total: int, done: int) -> Iterator[Advance]:
    """A bar with loss, tokens per second and time left on standard error, nothing when it is no terminal.

    Args:
        label: shown before the bar.
        total: optimizer steps of the whole run.
        done: steps of it that are behind.

    Yields:
        A function of step, loss (`None` before the first log line) and tokens per second.
    """
    if not (speaks() and sys.stderr.isatty()):
        yield lambda step, loss, rate: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}  {task.fields[rate]:,.0f} tokens/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done, loss="-", rate=0.0)

        def advance(step: int, loss: float | None, rate: float) -> None:
            bar.update(task, completed=step, loss="-" if loss is None else f"{loss:.4f}", rate=rate)

        yield advance
