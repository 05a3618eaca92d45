import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from biodata.errors import SeqloomError
from biodata.mmseqs import find_mmseqs, run_mmseqs

# Like MMseqs2: a shell script that starts programs and waits for them.
PROGRAM = """#!/bin/sh
if [ "$1" = version ]; then echo 1; exit; fi
if [ "$1" = fail ]; then echo "what was wrong"; exit 3; fi
sleep 300 &
echo $$ $! > pids.part
mv pids.part pids
wait
"""
STARTER = """
from pathlib import Path
from biodata.mmseqs import run_mmseqs
try:
    run_mmseqs(["search"], folder=Path("."))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mmseqs"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    monkeypatch.setenv("MMSEQS2_PATH", str(path))
    find_mmseqs.cache_clear()
    yield path
    find_mmseqs.cache_clear()


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc to see which processes run")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_program_outlives_its_starter(
    program: Path, tmp_path: Path, project: Path, number: signal.Signals
) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(project)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with starter:
        assert wait_for((tmp_path / "pids").exists, 60)
        running = [int(word) for word in (tmp_path / "pids").read_text().split()]
        assert len(running) == 2 and all(map(is_running, running))
        starter.send_signal(number)
        output, _ = starter.communicate(timeout=60)
    assert output == ("interrupted\n" if number == signal.SIGINT else "")
    assert wait_for(lambda: not any(map(is_running, running)), 10)


def test_the_exit_code_and_the_last_line_come_through(program: Path, tmp_path: Path) -> None:
    assert find_mmseqs().version == "1"
    with pytest.raises(SeqloomError, match="mmseqs fail failed with exit code 3: what was wrong"):
        run_mmseqs(["fail"], folder=tmp_path)


def test_a_program_that_cannot_be_started_is_reported(program: Path, tmp_path: Path) -> None:
    find_mmseqs()
    program.chmod(0o644)
    with pytest.raises(SeqloomError, match="Permission denied"):
        run_mmseqs(["search"], folder=tmp_path)
