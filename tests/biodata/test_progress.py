"""What is running is seen on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

CODE = """
import time
from biodata.progress import progress
with progress("fetching", 2_000_000, unit="B") as advance:
    advance(500_000)
    time.sleep(0.3)
with progress("reading", 7) as advance:
    advance(3)
    time.sleep(0.3)
"""


def on_a_terminal(project: Path) -> str:
    """What a program writes to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", CODE], stderr=theirs, cwd=project, env=env)
    os.close(theirs)
    seen = b""
    try:
        while block := os.read(ours, 4096):
            seen += block
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait() == 0
    return seen.decode()


def test_a_bar_says_what_how_much_and_of_how_much(project: Path) -> None:
    seen = on_a_terminal(project)
    assert "fetching" in seen and "0.5/2.0 MB" in seen
    assert "reading" in seen and "3/7" in seen


def test_in_files_there_is_no_bar(project: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
