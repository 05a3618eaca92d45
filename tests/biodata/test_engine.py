"""Where the work is done changes no byte: here, in worker processes, on Dask workers of which one dies."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from biodata import engine, ingest
from biodata.build import BuildConfig, ReadConfig, build_dataset
from biodata.engine import EngineConfig, WorkerPool, in_order, running
from biodata.errors import ConfigError, DataError, MissingExtraError, SeqloomError
from biodata.splits.split import SplitConfig


def write_files(folder: Path, files: int = 8, rows: int = 120) -> Path:
    """Families, exact copies and repeated ids over several files."""
    rng = random.Random(3)
    folder.mkdir()
    shared = ["".join(rng.choices("ACGT", k=300)) for _ in range(60)]
    for number in range(files):
        texts = ["".join(rng.choices("ACGT", k=rng.randint(150, 500))) for _ in range(rows)]
        for text in rng.sample(shared, 20):
            letters = list(text)
            for at in rng.sample(range(len(letters)), rng.randint(0, 25)):
                letters[at] = rng.choice("ACGT")
            texts.append("".join(letters))
        lines = [f">r{rng.randrange(400)} file {number}\n{text}\n" for text in texts]
        (folder / f"{number:02d}.fa").write_text("".join(lines))
    return folder


def config(source: Path, **more: str) -> BuildConfig:
    """A build by the path of large sets, whose every step is a shard function."""
    split = SplitConfig(threads=2, large_letters=0)
    return BuildConfig(read=ReadConfig(inputs=(str(source),)), split=split, **more)  # pyright: ignore


def content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


# Shard functions: of this module, so that workers can import them.


def twice(number: int) -> int:
    return 2 * number


def fail_at_two(number: int) -> int:
    if number >= 2:
        time.sleep(0.2 if number == 2 else 0)
        raise DataError(f"number {number}", where="x.fa:3")
    return number


def die_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_and_errors_come_in_order(tmp_path: Path) -> None:
    with WorkerPool(2) as pool:
        assert list(in_order(pool, twice, range(20))) == [*range(0, 40, 2)]
        with pytest.raises(DataError, match=r"^x.fa:3: number 2$"):
            list(in_order(pool, fail_at_two, range(6)))
        assert list(in_order(pool, die_once, [str(tmp_path / name) for name in "ab"])) == ["done", "done"]
        with pytest.raises(SeqloomError, match="a worker process ended 3 times on the same shard"):
            pool.submit(die, 0).result()


def test_workers_end_with_their_starter(tmp_path: Path, project: Path) -> None:
    code = """
import os, sys, time
from biodata.engine import WorkerPool
pool = WorkerPool(2)
jobs = [pool.submit(os.getpid), pool.submit(time.sleep, 60), pool.submit(time.sleep, 60)]
print(jobs[0].result(), flush=True)
time.sleep(60)
"""
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=project)
    assert starter.stdout is not None
    worker = int(starter.stdout.readline())
    starter.kill()
    starter.communicate()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return  # ended; nobody collects it in a container without init
        time.sleep(0.05)
    raise AssertionError("the worker is still there")


def test_wrong_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="engine is 'spark', allowed: local, dask"):
        EngineConfig(engine="spark")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"scheduler is 'tcp://x:1' with engine 'local'"):
        BuildConfig(scheduler="tcp://x:1")
    monkeypatch.setattr(engine, "_PATIENCE", "0.3s")
    with (
        pytest.raises(SeqloomError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"),
        running(EngineConfig(engine="dask", scheduler="tcp://127.0.0.1:9")),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install 'seqloom\[scale\]'"),
        running(EngineConfig(engine="dask")),
    ):
        pass


@contextmanager
def dask_cluster(folder: Path, project: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers without a nanny, each a process: its address, the workers."""
    address = folder / "scheduler.json"
    env = os.environ | {"DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": project, "env": env}
    started: list[subprocess.Popen[bytes]] = []
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["worker", "--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    try:
        for command in (scheduler, worker, worker):
            where = ["--scheduler-file", str(address)]
            started.append(subprocess.Popen([sys.executable, "-m", "dask", *command, *where], **quiet))  # pyright: ignore
            while not address.is_file():
                assert started[0].poll() is None, "the scheduler ended"
                time.sleep(0.05)
        yield json.loads(address.read_text())["address"], started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "UNIT_BYTES", 1)  # every file is a unit
    source = write_files(tmp_path / "in")
    build_dataset(config(source), tmp_path / "local")
    out, killed = tmp_path / "dask", threading.Event()
    with dask_cluster(tmp_path, project) as (address, workers):

        def kill_in_mid_build() -> None:
            while not list(out.glob(".build/*/ingest/.progress/unit-*/unit.json")):
                time.sleep(0.01)
            workers[0].kill()
            killed.set()

        killer = threading.Thread(target=kill_in_mid_build, daemon=True)
        killer.start()
        build_dataset(config(source, engine="dask", scheduler=address), out)
        assert killed.is_set() and workers[0].wait() == -signal.SIGKILL and workers[1].poll() is None
    assert content(out) == content(tmp_path / "local")
