"""Keeps freed memory for the next step instead of giving it back to the system each time."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
_KEEP = 1 << 30
_LARGEST_ON_HEAP = 32 << 20  # the most that glibc accepts on 64 bits


def keep_freed_memory() -> bool:
    """Asks the C library to keep up to 1 GiB that is freed, for the life of the process.

    A training step on the CPU frees and takes the same hundreds of MB each time. By default glibc returns
    large blocks to the system, which then clears every page anew: 5-8 % of a step of the 8M model.

    Returns:
        Whether it was set; other C libraries (macOS, Windows, musl) lack the setting, and nothing changes.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST_ON_HEAP), (_M_TRIM_THRESHOLD, _KEEP))
    return all([mallopt(name, value) == 1 for name, value in settings])
