"""Where the `seqloom` script begins: thin, so that Ctrl-C while modules load is one line too."""

from __future__ import annotations

import signal
import sys
from types import FrameType

_SOON = 0.02  # seconds, for what swallowed Ctrl-C to end


def main() -> None:
    """Runs `seqloom_cli.main`; exit 130 and one line when interrupted outside of a command's own care."""
    _keep_lost_ctrl_c()
    try:
        from seqloom_cli.main import main as run

        run()
    except BaseException as error:
        if not _unsaid(error):
            raise
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said: no traceback while Python shuts down


def _keep_lost_ctrl_c() -> None:
    """Sends Ctrl-C again where Python had to drop it: in `__del__` and in callbacks of weak references.

    Every import ends in such a callback, so that an early Ctrl-C was printed as `Exception ignored in` and
    the command went on.
    """

    def dropped(lost: sys.UnraisableHookArgs) -> None:
        if lost.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            sys.__unraisablehook__(lost)

    def again(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    if hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGALRM, again)
        sys.unraisablehook = dropped


def _unsaid(error: BaseException) -> bool:
    """Whether Ctrl-C is what ended the command and no line said so.

    Typer leaves without a word when interrupted among options; a library may fail in another way on the way
    out (`logging` releases a lock that it did not get).
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, KeyboardInterrupt):
            return True
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return False
