"""A process of `biodata.engine.WorkerPool`: takes tasks from one pipe, gives results to another.

    python -m biodata.worker TASKS RESULTS      (descriptors, inherited)

Ends when the process that started it ends, however: the pipe of tasks closes then, and a thread listens.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from biodata.memory import give_back_memory


def _main(tasks: Connection, results: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the starter, which ends this
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks, waiting), daemon=True).start()
    while True:
        function, arguments, named = waiting.get()
        try:
            answer = (True, function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 (goes to the starter, which raises it)
            answer = (False, error)
        results.send(answer)
        del function, arguments, named, answer
        give_back_memory()


def _listen(tasks: Connection, waiting: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            waiting.put(tasks.recv())
        except EOFError:
            os._exit(0)


if __name__ == "__main__":
    _main(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
