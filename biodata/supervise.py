"""Runs a program that must not outlive the process that started it: `python supervise.py PROGRAM ARGUMENTS`.

Standard input is the read end of a pipe whose write end only the starter holds. When the starter ends,
however it ends (SIGKILL too), the pipe closes, and the program is killed with all it started: MMseqs2 runs
shell scripts, which start MMseqs2 again. Imports little, because it starts before every command.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys


def _main(command: list[str]) -> int:
    child = os.fork()
    if not child:
        os.setsid()  # a group of its own, so that it can be killed whole
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of the starter is what counts
    _thread.start_new_thread(_kill_at_end_of_input, (child,))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _kill_at_end_of_input(child: int) -> None:
    while os.read(0, 1):
        pass
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # has no group yet
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    # not `sys.exit`: Python crashes now and then if it shuts down while the thread is just beginning
    os._exit(_main(sys.argv[1:]))
