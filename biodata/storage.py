"""What a full disk, a folder that cannot be written to and their like say to a user."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biodata.errors import SeqloomError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_WHAT = {
    errno.EFBIG: "a file became larger than the system allows (ulimit -f)",
    errno.EIO: "the disk reports an input/output error",
    errno.EMFILE: "too many open files (ulimit -n)",
    errno.ENAMETOOLONG: "a name or path is too long for the file system",
    errno.ENOTDIR: "a file stands where a folder is needed",
}
_NUMPY = re.compile(r"\d+ requested and \d+ written")  # of an array that did not fit, without a number


def storage_problem(error: OSError, folder: Path | None = None) -> str:
    """What a failure of the storage says to a user, in one line; empty if the error is none.

    Args:
        error: as the system, Arrow or numpy raised it.
        folder: where the work goes on when the same command is given again, if it does.

    >>> storage_problem(OSError(errno.ENOSPC, "No space left on device"))
    'the disk is full: free some space and run the same command again'
    >>> storage_problem(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    ''
    """
    where = error.filename or folder
    disk = f"the disk of {folder or where}" if where else "the disk"
    again = "free some space and run the same command again"
    again += ", what is finished is kept" if folder else ""
    if error.errno in _FULL:
        return f"{disk} is full: {again}"
    if error.errno in _FORBIDDEN:
        what = where or "a file"
        return f"{what} cannot be read or written ({error.strerror}): check its rights or use another --out"
    if error.errno in _WHAT:
        return f"{where}: {_WHAT[error.errno]}" if where else _WHAT[error.errno]
    if error.errno is None and _NUMPY.match(str(error)):
        return f"{disk} is full, or a file larger than the system allows (ulimit -f): {again}"
    return ""


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turns failures of the storage under a folder into one line each; other errors pass.

    Raises:
        SeqloomError: what failed and what to do.

    >>> with storage_errors(Path("out")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    biodata.errors.SeqloomError: the disk of out is full: free some space and run the same command again, \
what is finished is kept
    """
    try:
        yield
    except OSError as error:
        if problem := storage_problem(error, folder):
            raise SeqloomError(problem) from error
        raise
