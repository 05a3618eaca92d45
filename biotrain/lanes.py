"""Parts of a batch computed side by side on the CPU, one thread each.

One product by two threads waits at its end for the slower one, and everything between products runs on one
core. Two halves of a batch, each on its own core from embedding to gradient, wait only once a step: 10 % of
the step of the 8M model (`benchmarks/train_step.py`). Gradients are added in the order of the parts, so a run
repeats bit for bit on the same number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Barrier, BrokenBarrierError
from typing import NamedTuple

import torch
from torch import Tensor, nn

WORTH = 1 << 18
"""Tokens of a lane times the model's width, below which Python's own lock costs more than lanes gain."""


_Found = tuple[Tensor, tuple[Tensor | None, ...]]
"""Values and gradients of a part."""


class Losses(NamedTuple):
    """Of a part of a batch, scalars.

    Attributes:
        share: the part's share of the step's loss, with its graph.
        values: what is logged; summed over the parts.
    """

    share: Tensor
    values: Tensor


class _Meeting:
    """Where the parts of a group add up numbers, in their order so that the sum repeats bit for bit."""

    def __init__(self, size: int) -> None:
        self.barrier = Barrier(size)
        self.values: list[Tensor] = [torch.empty(0)] * size

    def add(self, place: int, values: Tensor) -> Tensor:
        self.values[place] = values
        self.barrier.wait()
        total = torch.stack(self.values).sum(0)
        self.barrier.wait()  # before a second meeting changes them
        return total


class Lanes:
    """Runs the backward passes of a step, `count` parts at a time.

    Args:
        count: threads, 1 or more; with 1 each part uses all of torch's threads.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._here = threading.local()

    def backward(self, model: nn.Module, parts: Iterable[Callable[[], Losses]]) -> list[Tensor]:
        """Adds the gradient of every part's `share` to the model's parameters, in the order of the parts.

        Returns:
            The `values` of each part, detached.
        """
        if self.count == 1:
            return [_backward(part()) for part in parts]
        parameters = [p for p in model.parameters() if p.requires_grad]
        waiting, found = iter(parts), []
        while group := list(islice(waiting, self.count)):
            meeting = _Meeting(len(group))
            tasks = [
                self._threads().submit(self._lane, part, meeting, place, parameters)
                for place, part in enumerate(group)
            ]
            for values, gradients in _results(tasks):
                _add(parameters, gradients)
                found.append(values)
        return found

    def meet(self, values: Tensor) -> Tensor:
        """Sum of `values` over the parts computed side by side, without gradient.

        Called from inside a part, by every part of a group alike: for losses of the whole micro-batch.
        """
        if self.count == 1:
            return values.detach()
        return self._here.meeting.add(self._here.place, values.detach())

    def _lane(
        self, part: Callable[[], Losses], meeting: _Meeting, place: int, parameters: Sequence[nn.Parameter]
    ) -> _Found:
        self._here.meeting, self._here.place = meeting, place
        try:
            return _gradients(part(), parameters)
        except BaseException:
            meeting.barrier.abort()  # the others would wait for ever
            raise

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            before, together = torch.get_num_threads(), Barrier(self.count)
            self._pool = ThreadPoolExecutor(self.count, "lane")
            for task in [self._pool.submit(_begin, together) for _ in range(self.count)]:
                task.result()
            torch.set_num_threads(before)
        return self._pool


def lanes_for(*, threads: int, rows: int, tokens: int, width: int, dropout: float) -> Lanes:
    """One lane per thread where that pays and repeats: no dropout, whose random stream all lanes would share.

    Args:
        threads: CPU threads.
        rows: of a batch.
        tokens: of a row.
        width: of the model.
        dropout: probability.
    """
    pays = threads > 1 and rows >= threads and rows // threads * tokens * width >= WORTH
    return Lanes(threads if pays and dropout == 0 else 1)


def _results(tasks: Sequence[Future[_Found]]) -> list[_Found]:
    """Of all tasks, in their order; of several errors the one that broke the meeting of the others."""
    errors = [error for task in tasks if (error := task.exception()) is not None]
    for error in errors:
        if not isinstance(error, BrokenBarrierError):
            raise error
    return [task.result() for task in tasks]


def _begin(together: Barrier) -> None:
    """In each thread of the pool at once: torch's number of threads is one thread's own setting."""
    together.wait()
    torch.get_num_threads()  # a thread's first use of torch takes the number of the process
    torch.set_num_threads(1)


def _backward(losses: Losses) -> Tensor:
    losses.share.backward()
    return losses.values.detach()


def _gradients(losses: Losses, parameters: Sequence[nn.Parameter]) -> _Found:
    gradients = torch.autograd.grad(losses.share, parameters, allow_unused=True)
    return losses.values.detach(), gradients


def _add(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients):
        if gradient is None:
            continue
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad.add_(gradient)
