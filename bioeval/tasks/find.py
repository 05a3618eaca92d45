"""Finds the files of a task: beside the task file, in the cache, in `SEQLOOM_REAL_DATA`, else by download."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path
from biodata.io.streams import open_binary
from biodata.progress import say
from bioeval.cache import cache_root
from bioeval.tasks.config import Source, TaskConfig

_SUFFIXES = ("", ".gz", ".zst", ".bz2")
_TIMEOUT = 30  # seconds without an answer
_HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of a task.

    Attributes:
        file: its name.
        url: where it can be downloaded.
        split: of all its rows, where the name tells.
        label: class of all its rows, where the name tells.
    """

    file: str
    url: str | None
    split: str | None = None
    label: str | None = None


def pieces_of(config: TaskConfig) -> list[Piece]:
    """The files of a task: one, or one for each split and class that its name has a place for.

    Raises:
        ConfigError: the name has a place for classes, but the task file names none.
    """
    source, name = config.data, str(config.data.file)
    if "{class}" in name and not config.classes:
        raise ConfigError(f"{config.name}: file {name!r} needs 'classes', what {{class}} stands for")
    splits = list(source.split_names.items()) if "{split}" in name else [(None, "")]
    labels = list(config.classes) if "{class}" in name else [None]
    return [
        Piece(file=_filled(name, part, label), url=source.url and _filled(source.url, part, label),
              split=split, label=label)
        for (split, part), label in product(splits, labels)
    ]  # fmt: skip


def task_folder() -> Path:
    """Where downloaded task files are kept."""
    return cache_root() / "tasks"


def find_file(source: Source, *, beside: Path, piece: Piece | None = None, download: bool = True) -> Path:
    """A file or folder of a source, compressed or not.

    Args:
        source: of a task file.
        beside: folder of the task file.
        piece: which one, where there are several.
        download: whether to get it from its address where it is nowhere.

    Raises:
        ConfigError: it is nowhere; says where to put it.
    """
    piece = piece or Piece(file=str(source.file), url=source.url)
    for folder in _folders(beside):
        for suffix in _SUFFIXES:
            if (path := folder / f"{piece.file}{suffix}").exists():
                return path
    if download and piece.url:
        return _download(piece, source)
    raise ConfigError(f"{piece.file} is not there: {where_to_put(source, piece)}")


def where_to_put(source: Source, piece: Piece | None = None) -> str:
    """One sentence for people who have to get the file themselves."""
    piece = piece or Piece(file=str(source.file), url=source.url)
    origin = piece.url or source.home or "its publisher"
    return f"get it from {origin} and save it as {_kept_as(piece)} (or set SEQLOOM_CACHE)"


def plain_sha256(paths: Sequence[Path]) -> str:
    """SHA-256 of the decompressed bytes of files, one after the other; archives and Parquet as they are."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                with opened(file, whole=True) as stream:
                    while block := stream.read(1 << 20):
                        digest.update(block)
    return digest.hexdigest()


@contextmanager
def opened(path: Path, member: str | None = None, *, whole: bool = False) -> Iterator[BinaryIO]:
    """The plain bytes of a file, or of a member of a zip archive.

    Args:
        path: the file.
        member: of the archive.
        whole: archives and Parquet files as they are.

    Raises:
        DataError: no such member, or a damaged archive.
    """
    if member is None:
        with open(path, "rb") as handle:
            bare = whole and handle.read(4) in (b"PK\x03\x04", b"PAR1")
        with open(path, "rb") if bare else open_binary(path) as stream:
            yield cast(BinaryIO, stream)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            if member not in archive.namelist():
                names = [name for name in archive.namelist() if not name.endswith("/")]
                raise DataError(f"no member {member!r}", where=path, hint=f"members: {', '.join(names[:12])}")
            with archive.open(member) as stream:
                yield cast(BinaryIO, stream)
    except zipfile.BadZipFile as error:
        raise DataError(f"not a whole zip archive: {error}", where=path, hint="get it again") from error


def _filled(text: str, split: str, label: str | None) -> str:
    return text.replace("{split}", split).replace("{class}", label or "")


def _folders(beside: Path) -> list[Path]:
    folders = [beside, task_folder()]
    if real := os.environ.get("SEQLOOM_REAL_DATA"):
        root = Path(real)
        folders += [root, *sorted(path for path in root.glob("*") if path.is_dir())]
    return folders


def _download(piece: Piece, source: Source) -> Path:
    url, path = str(piece.url), _kept_as(piece)
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise ConfigError(f"{url}: only https:// addresses are downloaded; {where_to_put(source, piece)}")
    say(f"downloading {url}")
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT) as answer,
            atomic_path(path) as part,
            open(part, "wb") as handle,
        ):
            shutil.copyfileobj(answer, handle)
            _check_length(answer.headers.get("Content-Length"), handle.tell())
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"{piece.file} cannot be downloaded ({reason}): {where_to_put(source, piece)}"
        ) from error
    return path


def _kept_as(piece: Piece) -> Path:
    """Where a downloaded file is looked for; several publishers call theirs `splits.zip`."""
    suffix = _compressed(piece.url or "")
    return task_folder() / (piece.file if piece.file.endswith(suffix) else piece.file + suffix)


def _compressed(url: str) -> str:
    return next((suffix for suffix in _SUFFIXES[1:] if url.endswith(suffix)), "")


def _check_length(promised: str | None, got: int) -> None:
    # Reading in pieces, http.client takes an answer that was cut off for a whole one.
    if promised is not None and promised.isdigit() and int(promised) != got:
        raise ConnectionError(f"{got} of {promised} bytes came")
