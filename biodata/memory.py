"""Memory that is free inside of this process goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import pyarrow as pa


def give_back_memory() -> None:
    """Returns freed memory to the system; called where a stage or a shard is over.

    glibc keeps what was freed below a block still in use (malloc_trim(3)): half of the memory of a process
    that had held 5 million rows. Arrow's pool keeps some too. With another C library only that is returned.
    """
    pa.default_memory_pool().release_unused()
    _malloc_trim()(0)


@cache
def _malloc_trim() -> Callable[[int], int]:
    return getattr(ctypes.CDLL(None), "malloc_trim", _nothing)


def _nothing(pad: int) -> int:
    return pad
