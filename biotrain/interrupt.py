"""Ctrl-C and SIGTERM as a polite request: end the step, keep the work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType

from biodata.progress import speaks

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While this block runs, the first SIGINT or SIGTERM sets `asked`; the second one acts as always.

    Signals reach Python's main thread only; in another thread the block changes nothing.

    Args:
        alone: whether this is the only process of the run; among several, torchrun sends every signal once
            more, so later ones are ignored to the process's end, and it kills what is left after 30 seconds.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self.asked, self.alone = False, alone
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.asked and not self.alone:  # torchrun's own signal may come after the last step, too
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)
        else:
            self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if not self.alone:
            if not again and speaks():
                os.write(2, b"stopping after this step, with a checkpoint\n")
            return
        self._restore()
        with contextlib.suppress(OSError):  # print() must not be entered twice, and a handler may do that
            os.write(2, b"stopping after this step, with a checkpoint (again: at once, without)\n")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType] - what signal() gave
        self._before = {}
