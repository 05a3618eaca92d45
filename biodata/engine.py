"""Where shard functions run: in processes of this machine, or on the workers of a Dask cluster.

Both are a `concurrent.futures.Executor`. A shard function is a module-level function of one picklable task
that reads and writes files; it may run anywhere, in any order, and twice, without changing a byte.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from biodata.errors import ConfigError, SeqloomError, require
from biodata.memory import give_back_memory
from biodata.mmseqs import available_threads

ENGINES = ("local", "dask")
Task = TypeVar("Task")
Result = TypeVar("Result")
_ATTEMPTS = 3
_PATIENCE = "30s"
_ON_DASK = {"pure": False, "retries": _ATTEMPTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Where the work is done; never changes a result.

    Attributes:
        engine: processes here, or a Dask cluster.
        scheduler: address of a Dask scheduler; without one, its workers start here.
        workers: processes of this machine, 0 for one a core.

    >>> EngineConfig(scheduler="tcp://head:8786")
    Traceback (most recent call last):
    biodata.errors.ConfigError: scheduler is 'tcp://head:8786' with engine 'local', allowed: engine dask
    """

    engine: Literal["local", "dask"] = "local"
    scheduler: str = ""
    workers: int = 0

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"engine is {self.engine!r}, allowed: {', '.join(ENGINES)}")
        if self.scheduler and self.engine != "dask":
            raise ConfigError(
                f"scheduler is {self.scheduler!r} with engine {self.engine!r}, allowed: engine dask"
            )


@contextmanager
def running(config: EngineConfig) -> Iterator[Executor]:
    """The executor of a configuration, ready for `in_order`; ended with the block.

    Raises:
        MissingExtraError: `distributed` is not installed.
        SeqloomError: the scheduler does not answer.
    """
    workers = available_threads(config.workers)
    if config.engine == "local":
        with WorkerPool(workers) as pool:
            yield pool
        return
    distributed = require("distributed", extra="scale")
    if config.scheduler:
        with _client(distributed, config.scheduler) as client:
            yield client.get_executor(**_ON_DASK)
        return
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client.get_executor(**_ON_DASK)


def _client(distributed: Any, scheduler: str) -> Any:
    try:
        return distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SeqloomError(f"no Dask scheduler answers at {scheduler!r}: {error}") from error


def in_order(
    executor: Executor | None, function: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[Result]:
    """The result of each task, in the order of the tasks; the first error in that order is raised.

    After the last one, memory that is free goes back to the system: a stage is over.

    Args:
        executor: None works on them one by one, here.
        function: a shard function.

    >>> list(in_order(None, len, ["a", "bcd"]))
    [1, 3]
    """
    if executor is None or len(tasks) < 2:
        yield from map(function, tasks)
        give_back_memory()
        return
    futures = [executor.submit(function, task) for task in tasks]
    try:
        while futures:
            yield futures.pop(0).result()
    finally:
        for future in futures:
            future.cancel()
    give_back_memory()


class WorkerPool(Executor):
    """Processes that work on shards, started when there is work for them, and gone when this one is.

    Unlike those of `ProcessPoolExecutor` they do not import the caller's script (which then needs no
    `if __name__ == "__main__"`), end when this process is killed, and are replaced when they are killed.

    Args:
        workers: at most so many processes.
    """

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._local = threading.local()
        self._all: list[_Worker] = []
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Executor.submit`; function, arguments and result travel as pickles."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Ends the processes at once: what they were working on is not waited for."""
        self._closed = True
        for worker in list(self._all):
            worker.process.kill()  # the thread that waits for it goes on, and ends
        self._threads.shutdown(True, cancel_futures=cancel_futures)
        for worker in list(self._all):
            self._drop(worker)

    def _call(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        for _ in range(_ATTEMPTS):
            worker = self._worker()
            try:
                worker.tasks.send((fn, args, kwargs))
                done, result = worker.results.recv()
            except (EOFError, OSError):
                self._drop(worker)
                if self._closed:
                    break
                continue
            if done:
                return result
            raise result
        code = (
            "" if self._closed else f" (exit codes {', '.join(str(w.process.returncode) for w in self._all)})"
        )
        raise SeqloomError(
            f"a worker process ended {_ATTEMPTS} times on the same shard{code}: out of memory?"
        )

    def _worker(self) -> _Worker:
        worker = getattr(self._local, "worker", None)
        if worker is None:
            worker = self._local.worker = _Worker()
            self._all.append(worker)
            if self._closed:
                worker.process.kill()
        return worker

    def _drop(self, worker: _Worker) -> None:
        worker.end()
        self._all.remove(worker)
        self._local.worker = None


class _Worker:
    """One process and the pipes to it; the pipe of tasks closes when this process ends, however."""

    def __init__(self) -> None:
        from multiprocessing.connection import Connection

        read_tasks, write_tasks = os.pipe()
        read_results, write_results = os.pipe()
        command = [sys.executable, "-m", "biodata.worker", str(read_tasks), str(write_results)]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        try:
            self.process = subprocess.Popen(
                command, pass_fds=(read_tasks, write_results), stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": paths},
            )  # fmt: skip
        finally:
            os.close(read_tasks)
            os.close(write_results)
        self.tasks = Connection(write_tasks, readable=False)
        self.results = Connection(read_results, writable=False)

    def end(self) -> None:
        """Kills the process and waits for its end."""
        self.process.kill()
        self.process.wait()
        self.tasks.close()
        self.results.close()
