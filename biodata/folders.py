"""One build at a time in one folder, and only in a folder that is empty or ours; one writer of a file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from biodata.errors import ConfigError, SeqloomError
from biodata.files import make_folder

WORK = ".build"


def check_target(out: Path, *, finished: bool) -> None:
    """Refuses a folder with someone else's files.

    Args:
        out: the dataset folder.
        finished: whether it holds a finished dataset of ours.

    Raises:
        ConfigError: it is a file, or a folder that is not empty and not ours.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: --out needs a folder, new or empty")
    if finished or (out / WORK).is_dir() or not out.exists():
        return
    found = sorted(path.name for path in out.iterdir())
    if found:
        raise ConfigError(f"{out} is not empty ({found[0]!r} is there) and no seqloom dataset: "
                          "give a new or empty folder as --out")  # fmt: skip


def check_apart(inputs: Iterable[str | Path], out: Path) -> None:
    """Refuses a folder as input that holds the folder to be written: the next time its files would be read.

    Raises:
        ConfigError: naming the input.
    """
    place = Path(out).resolve()
    for entry in inputs:
        folder = Path(entry).resolve()
        if folder.is_dir() and folder in (place, *place.parents):
            raise ConfigError(f"input {str(entry)!r} holds {out}, where files are to be written: "
                              "give an --out elsewhere, or name the files")  # fmt: skip


@contextmanager
def locked(out: Path, *, name: str = WORK, doing: str = "build") -> Iterator[Path]:
    """Holds the folder for this process; yields its work folder.

    The lock ends with the process, however it ends.

    Args:
        out: the folder.
        name: of the work folder in it.
        doing: what holds it, for the message.

    Raises:
        SeqloomError: another process holds it.
    """
    refused = f"another {doing} is running in {out}: wait for it or use another --out"
    with _held(out / name / "lock", refused):
        yield out / name


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Holds a file that is to be written, by a lock beside it that goes with the block.

    Two atomic writers of one file would write into each other's `.part` file.

    Args:
        path: the file; its folder is made.

    Raises:
        ConfigError: a file is in the way of its folder.
        SeqloomError: another process holds it.
    """
    make_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    with _held(lock, f"another process is writing {path}: wait for it or use another --out"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _held(lock: Path, refused: str) -> Iterator[None]:
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = open(lock, "a+")  # noqa: SIM115 (held open: the lock lives as long as it)
        except FileNotFoundError:
            continue  # its holder finished and removed the work folder
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise SeqloomError(refused) from None
        if _still_there(handle.fileno(), lock):
            break
        handle.close()  # its holder finished and removed it between open and flock
    try:
        yield
    finally:
        handle.close()


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == os.stat(path).st_ino
    except FileNotFoundError:
        return False
