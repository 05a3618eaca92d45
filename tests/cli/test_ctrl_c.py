"""Ctrl-C outside of a command's own care: one line and exit 130, wherever it falls."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SAID = "error: interrupted"

CALLBACK = """
import signal, sys
def at(frame, event, arg):  # Ctrl-C falls into the callback in which every import ends
    if event == "call" and frame.f_code.co_name == "cb":
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)
"""
DELETER = """
import signal, sys
class Held:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def at(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "prepared":
        sys.setprofile(None)
        Held()
"""
PARSER = """
import signal, sys
def at(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "make_context":
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)
"""
LOCK = """
import sys
def at(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "examine":
        sys.setprofile(None)
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("cannot release un-acquired lock")
"""
MAIN = """
from seqloom_cli.entry import main
sys.setprofile(at)
main()
"""


def _run(before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + MAIN, *arguments], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.parametrize(
    "before", [CALLBACK, DELETER, PARSER, LOCK], ids=["end of an import", "__del__", "options", "lock"]
)
def test_control_c_is_honoured_where_python_or_a_library_would_lose_it(before: str) -> None:
    run = _run(before, "doctor")
    said = run.stderr.splitlines()
    assert (run.returncode, len(said), said[0].startswith(SAID), run.stdout) == (130, 1, True, ""), said


def test_what_a_command_said_is_not_said_again() -> None:
    code = (
        "import sys\nimport seqloom_cli.doctor as d\ndef stop(): raise KeyboardInterrupt\nd.examine = stop\n"
    )
    run = _run(code + "at = None\n", "doctor")
    assert (run.returncode, run.stderr) == (
        130,
        "error: interrupted; the same command goes on where it stopped\n",
    )
