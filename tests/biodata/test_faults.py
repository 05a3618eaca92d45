"""Full disk, read-only folder, two at once, clock going back, SIGKILL: nothing lost, nothing half-written."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest

from biodata import ingest, mmseqs
from biodata.build import BuildConfig, ReadConfig, build_dataset
from biodata.dataset import is_dataset
from biodata.errors import InterruptedRunError, SeqloomError
from biodata.splits.split import SplitConfig
from biodata.storage import storage_errors
from tests.biodata.test_build import content

BUILD = """
import sys
from pathlib import Path
from biodata import ingest
from tests.biodata.test_faults import config
from biodata.build import build_dataset
from biodata.errors import SeqloomError
ingest.UNIT_BYTES = 1
try:
    build_dataset(config(Path(sys.argv[1])), Path(sys.argv[2]))
except SeqloomError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def config(source: Path) -> BuildConfig:
    split = SplitConfig(threads=2, large_letters=0)
    return BuildConfig(read=ReadConfig(inputs=(str(source),)), split=split)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, folder = random.Random(5), tmp_path_factory.mktemp("in")
    for number in range(3):
        texts = ["".join(rng.choices("ACGT", k=400)) for _ in range(150)]
        lines = [f">r{at} {number}\n{text}\n" for at, text in enumerate(texts)]
        (folder / f"{number}.fa").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of an undisturbed build, three units read in this process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "UNIT_BYTES", 1)
        build_dataset(config(source), out)
    return content(out)


Hook = Callable[[str, tuple], None]
_HOOK: list[Hook] = []
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@cache
def _listen() -> None:
    """Once: an audit hook stays until the process ends."""

    def hook(event: str, arguments: tuple) -> None:
        for one in _HOOK:
            one(event, arguments)

    sys.addaudithook(hook)


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Hook]]:
    """Takes functions that see the audit events of this process until the test ends; no worker processes."""
    _listen()
    monkeypatch.setattr("biodata.build.running", lambda _: nullcontext(None))
    monkeypatch.setattr(ingest, "UNIT_BYTES", 1)
    yield _HOOK
    _HOOK.clear()


def changes_the_disk(event: str, arguments: tuple) -> bool:
    if event == "open":
        _, mode, flags = arguments
        return bool(flags & _WRITES) if mode is None else any(letter in mode for letter in "wax+")
    return event in ("os.rename", "os.mkdir")


def fails(moment: int, code: int, under: Path, seen: list[int]) -> Hook:
    """Every write from the n-th one on fails, below a folder; counts the writes."""

    def hook(event: str, arguments: tuple) -> None:
        if arguments and str(arguments[0]).startswith(str(under)) and changes_the_disk(event, arguments):
            seen[0] += 1
            if seen[0] >= moment:
                raise OSError(code, os.strerror(code), str(arguments[0]))

    return hook


def test_a_disk_that_fills_up_at_any_write(
    source: Path, whole: dict[str, bytes], tmp_path: Path, hooked: list[Hook]
) -> None:
    out, count = tmp_path / "counted", [0]
    hooked.append(fails(10**9, errno.ENOSPC, out, count))
    build_dataset(config(source), out)
    assert content(out) == whole
    moments = [*sorted(random.Random(2).sample(range(2, count[0]), 4)), count[0]]
    out = tmp_path / "out"
    for moment in moments:  # each goes on where the last one stopped
        hooked[:] = [fails(moment, errno.ENOSPC, out, [0])]
        try:
            build_dataset(config(source), out)
        except SeqloomError as error:
            assert str(error).startswith(f"the disk of {out} is full: free some space and run the same")
        else:
            break
        assert not is_dataset(out)
    hooked.clear()
    build_dataset(config(source), out)
    assert content(out) == whole


def test_files_that_may_not_grow(
    source: Path, whole: dict[str, bytes], tmp_path: Path, project: Path
) -> None:
    """The kernel refuses to write on: in Arrow, in worker processes, in MMseqs2, in arrays of numpy."""
    out = tmp_path / "out"

    def run(limit: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BUILD, str(source), str(out)], capture_output=True, text=True, check=False,
            cwd=project, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip

    for limit in (3_000, 100_000, 185_000):
        done = run(limit)
        assert done.returncode == 1, done.stderr
        assert done.stdout.count("\n") == 1 and "Traceback" not in done.stderr
        assert not is_dataset(out)
    assert run(resource.RLIM_INFINITY).returncode == 0
    assert content(out) == whole


def test_mmseqs_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMseqs2 only says that it failed; why is seen at the disk."""
    command = ["createdb", "missing.fasta", "db"]
    with pytest.raises(SeqloomError, match="mmseqs createdb failed"):
        mmseqs.run_mmseqs(command, folder=tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(SeqloomError, match=r"^the disk of .* is full"), storage_errors(tmp_path):
        mmseqs.run_mmseqs(command, folder=tmp_path)


def test_folders_that_cannot_be_written(source: Path, tmp_path: Path, hooked: list[Hook]) -> None:
    out = tmp_path / "out"
    for code in (errno.EROFS, errno.EACCES):
        hooked[:] = [fails(1, code, tmp_path, [0])]
        with pytest.raises(SeqloomError, match=r"out.* cannot be read or written \(.*\): check its rights"):
            build_dataset(config(source), out)
    hooked.clear()
    (tmp_path / "file").write_text("")
    with pytest.raises(SeqloomError, match="file"):
        build_dataset(config(source), tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_two_builds_into_one_folder_at_once(
    source: Path, whole: dict[str, bytes], tmp_path: Path, project: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", BUILD, str(source), str(out)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=project) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    codes = [process.returncode for process in both]
    # one wins; the other is refused, or came so late that it found the dataset finished
    assert min(codes) == 0 and max(codes) in (0, 1)
    for code, output in zip(codes, outputs):
        assert code == 0 or output.startswith(f"another build is running in {out}: wait for it")
    assert content(out) == whole


def test_a_clock_that_goes_backwards(
    source: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest, "UNIT_BYTES", 1)
    with monkeypatch.context() as patch:
        patch.setattr("biodata.large.rows.find_links", stop)
        with pytest.raises(InterruptedRunError):
            build_dataset(config(source), out)
    future = time.time() + 10 * 365 * 86_400
    for path in out.rglob("*"):
        os.utime(path, (future, future))
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    monkeypatch.setattr(time, "time_ns", lambda: 86_400 * 10**9)
    build_dataset(config(source), out)
    assert content(out) == whole


def test_killed_with_its_workers(
    source: Path, whole: dict[str, bytes], tmp_path: Path, project: Path
) -> None:
    """SIGKILL to the build alone: its worker processes end by themselves and disturb nothing that follows."""
    out, rng, kills = tmp_path / "out", random.Random(4), 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", BUILD, str(source), str(out)], cwd=project)
        while child.poll() is None and not out.exists():
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 1.5))
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
    assert kills
    assert subprocess.run([sys.executable, "-c", BUILD, str(source), str(out)], cwd=project).returncode == 0
    assert content(out) == whole
