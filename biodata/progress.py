"""Progress bars on standard error that vanish when it is no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(label: str, total: float | None = None, *, unit: str = "") -> Iterator[Callable[[float], None]]:
    """Shows a bar while the block runs; the yielded function advances it.

    Args:
        label: what is being done.
        total: the end value; `None` shows a pulse.
        unit: `"B"` shows bytes, anything else counts.

    >>> with progress("reading", 10) as advance:
    ...     advance(10)
    """
    if not (speaks() and sys.stderr.isatty()):
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if unit == "B" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda step: bar.advance(task, step)


def say(message: str) -> None:
    """One line for people, on standard error."""
    if speaks():
        print(message, file=sys.stderr, flush=True)


def speaks() -> bool:
    """Whether this process talks to people: of several that torchrun started, the first one."""
    return os.environ.get("RANK", "0") == "0"
