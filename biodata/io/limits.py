"""How long one record or line may be: what keeps an endless one from filling the memory.

Files are streamed, so that only a single record can grow without bound: a line without an end, a gzip bomb.
The limit holds for the decompressed text of a record and for every line.
"""

from __future__ import annotations

import os

from biodata.errors import ConfigError, DataError

VARIABLE = "SEQLOOM_MAX_RECORD_MB"
DEFAULT_MB = 1000
"""More than the longest chromosomes of most genomes have (human 249, wheat 845 million letters)."""


def record_limit() -> int:
    """Most bytes of a record: the environment variable `SEQLOOM_MAX_RECORD_MB`, else 1000 MB.

    Raises:
        ConfigError: the variable is not a whole number of 1 or more.
    """
    text = os.environ.get(VARIABLE, str(DEFAULT_MB))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ConfigError(f"{VARIABLE} is {text!r}, allowed: a whole number of MB, 1 or more")
    return int(text) * 1_000_000


def too_long(what: str, *, where: object) -> DataError:
    """The error for a record or line above the limit.

    Args:
        what: what is too long, as `a record`.
        where: file, perhaps with a line.
    """
    hint = f"{VARIABLE}=... allows more; a record takes about three times its size in memory"
    return DataError(f"{what} of more than {record_limit() // 1_000_000} MB", where=where, hint=hint)
