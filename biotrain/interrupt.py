"""Ctrl-C and SIGTERM as a polite request: end the step, keep the work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While this block runs, the first SIGINT or SIGTERM sets `asked`; the second one acts as always.

    Signals reach Python's main thread only; in another thread the block changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        with contextlib.suppress(OSError):  # print() must not be entered twice, and a handler may do that
            os.write(2, b"stopping after this step, with a checkpoint (again: at once, without)\n")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType] - what signal() gave
        self._before = {}
