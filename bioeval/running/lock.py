"""One evaluation at a time in one folder: each reads all results of the folder and writes them anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biodata.files import make_folder
from biodata.folders import locked
from biodata.storage import storage_errors

WORK = ".eval"


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Holds a folder of results for this process; the lock ends with the process, however it ends.

    Args:
        out: the folder; made if it is not there.

    Raises:
        ConfigError: a file is in the way.
        SeqloomError: another evaluation is running there, or its disk is full or read-only.
    """
    with storage_errors(out):
        make_folder(out)
        with locked(out, name=WORK, doing="evaluation") as work:
            try:
                yield
            finally:
                shutil.rmtree(work, ignore_errors=True)
