"""Several processes training one model, started by torchrun.

    torchrun --nproc-per-node 4 -m seqloom_cli train ...

Every process prepares every step whole, from the same seeds, and computes its share of each micro-batch;
torch's DistributedDataParallel or fully_shard (FSDP2) adds up the gradients. So a step is the same, up to
rounding, whatever the number of processes, and a run may go on with another one. Process 0 alone writes and
speaks; what it alone decides it tells the others as JSON.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Literal, TypeVar
from weakref import WeakMethod

import torch
from torch import Tensor
from torch import distributed as dist

from biodata.errors import ConfigError, SeqloomError

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: process 0 may encode a large dataset first."""

_LOST = ("Connection closed by peer", "Connection reset by peer", "Connection refused")

T = TypeVar("T")


class LostProcessError(SeqloomError):
    """Another process has failed, which says why itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """The processes of a run.

    Attributes:
        rank: this process's number, from 0.
        size: number of processes.
        local: its number among those of the same machine.
        neighbours: processes of the same machine.
        parallel: how they share the model: each has all of it (`ddp`), or a part of each tensor (`fsdp`).
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    neighbours: int = 1
    parallel: Literal["none", "ddp", "fsdp"] = "none"

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process, where `name` leaves the choice.

        Raises:
            ConfigError: one GPU was named for several processes.
        """
        if self.size == 1 or name == "cpu":
            return name
        if name not in ("auto", "cuda"):
            raise ConfigError(f"device {name!r} cannot serve {self.size} processes: give auto, cuda or cpu")
        if torch.cuda.is_available():
            return f"cuda:{self.local}"
        return "cpu" if name == "auto" else name

    def threads(self, number: int) -> int:
        """CPU threads of this process: as said, or an equal share of the cores for 0."""
        if number or self.size == 1:
            return number
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.neighbours)

    def named(self) -> str:
        """For people: how many processes there are, where there are several."""
        return "" if self.size == 1 else f"{self.size} processes ({self.parallel}), each on "

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; all wait for each other."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(flag))))

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes, the same bits in each; without gradient."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def dealt(self, things: Iterable[T]) -> Iterator[tuple[T, float]]:
        """This process's share of what all processes have alike, in rounds of one thing each.

        Yields:
            A thing and 1; and 0, with a thing of another process, in a last round too small for all: it is
            to be computed for nothing, as torch waits for every process in every pass through the model.
        """
        waiting = iter(things)
        while group := list(islice(waiting, self.size)):
            yield (group[self.rank], 1.0) if self.rank < len(group) else (group[0], 0.0)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in process 0, as JSON can hold it; the others wait.

        Raises:
            LostProcessError: in the others, when it has failed.
        """
        if self.size == 1:
            return make()
        if not self.first:
            return _received()
        try:
            value = make()
        except BaseException:
            _send(None)
            raise
        _send([value])
        return value

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The others enter this block when process 0 has left it, which may fill a cache for all."""
        if not self.first:
            self.any(False)
        try:
            yield
        finally:
            if self.first:
                self.any(False)


ALONE = Team()
"""A single process."""


@contextmanager
def joined(parallel: str, *, device: str) -> Iterator[Team]:
    """The processes that torchrun started, connected while this block runs: by gloo, GPUs also by NCCL.

    Args:
        parallel: `auto` (DDP if there are several processes), `none`, `ddp` or `fsdp`.
        device: as configured; says whether GPUs are used.

    Raises:
        ConfigError: a choice that does not fit to the processes that are running.
        LostProcessError: another process has ended.
    """
    team = _found(parallel)
    if team.parallel == "none" or dist.is_initialized():  # by a caller, who also ends it
        yield team
        return
    gpu = team.device(device).startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if gpu:
        torch.cuda.set_device(team.local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield team
    except RuntimeError as error:
        if any(sign in str(error) for sign in _LOST):
            raise LostProcessError("another process has ended") from error
        raise
    finally:
        while _AT_PARTING:
            if (release := _AT_PARTING.pop()()) is not None:
                release()
        gc.collect()
        dist.destroy_process_group()


_AT_PARTING: list[WeakMethod[Callable[[], None]]] = []


def at_parting(release: Callable[[], None]) -> None:
    """Has the method `release` called before the processes part, if its object is still there.

    What holds the connection from C++ (DDP's reducer) must be gone by then. If it were the last to let go,
    it would wait, with Python's lock, for a thread of gloo's that waits for that lock: the process hung.
    """
    _AT_PARTING.append(WeakMethod(release))


def _found(parallel: str) -> Team:
    """The team by torchrun's environment, in which every process is told its place."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    kind = ("ddp" if size > 1 else "none") if parallel == "auto" else parallel
    if kind == "none" and size > 1:
        raise ConfigError(f"parallel 'none' is for one process, {size} are running: leave it out")
    if kind == "none":
        return ALONE
    if "RANK" not in os.environ:
        start = "torchrun --nproc-per-node N -m seqloom_cli train ..."
        raise ConfigError(f"parallel {kind!r} needs processes of torchrun: {start}")
    rank, local, neighbours = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))
    )
    assert kind in ("ddp", "fsdp")
    return Team(rank=rank, size=size, local=local, neighbours=neighbours, parallel=kind)


def _send(value: Any) -> None:
    """From process 0 to all, as the bytes of JSON."""
    content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    dist.broadcast(torch.tensor([len(content)]), src=0)
    dist.broadcast(content, src=0)


def _received() -> Any:
    size = torch.zeros(1, dtype=torch.int64)
    dist.broadcast(size, src=0)
    content = torch.empty(int(size), dtype=torch.uint8)
    dist.broadcast(content, src=0)
    value = json.loads(content.numpy().tobytes())
    if value is None:
        raise LostProcessError("process 0 has failed")
    return value[0]
