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
        where = error.filename or folder
        if error.errno in _FULL:
            what = f"the disk of {folder} is full: free some space and run the same command again"
            raise SeqloomError(f"{what}, what is finished is kept") from error
        if error.errno in _FORBIDDEN:
            raise SeqloomError(
                f"{where} cannot be read or written ({error.strerror}): check its rights or use another --out"
            ) from error
        if error.errno in _WHAT:
            raise SeqloomError(f"{where}: {_WHAT[error.errno]}") from error
        if error.errno is None and _NUMPY.match(str(error)):
            raise SeqloomError(
                f"the disk of {folder} is full, or a file larger than the system allows (ulimit -f): free "
                "some space and run the same command again, what is finished is kept"
            ) from error
        raise
