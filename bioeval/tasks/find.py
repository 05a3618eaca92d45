"""Finds the file of a task: beside the task file, in the cache, in `SEQLOOM_REAL_DATA`, else by download."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from biodata.errors import ConfigError
from biodata.files import atomic_path
from biodata.io.streams import open_binary
from biodata.progress import say
from bioeval.cache import cache_root
from bioeval.tasks.task import Source

_SUFFIXES = ("", ".gz", ".zst", ".bz2")
_TIMEOUT = 30  # seconds without an answer


def task_folder() -> Path:
    """Where downloaded task files are kept."""
    return cache_root() / "tasks"


def find_file(source: Source, *, beside: Path, download: bool = True) -> Path:
    """The file of a source, compressed or not.

    Args:
        source: of a task file, with `file`.
        beside: folder of the task file.
        download: whether to get it from `url` where it is nowhere.

    Raises:
        ConfigError: it is nowhere; says where to put it.
    """
    name = str(source.file)
    folders = [beside, task_folder()]
    if real := os.environ.get("SEQLOOM_REAL_DATA"):
        folders.append(Path(real) / "mrna")
    for folder in folders:
        for suffix in _SUFFIXES:
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    if download and source.url:
        return _download(source)
    raise ConfigError(f"{name} is not there: {where_to_put(source)}")


def where_to_put(source: Source) -> str:
    """One sentence for people who have to get the file themselves."""
    origin = source.url or source.home or "its publisher"
    return f"get it from {origin} and put it into {task_folder()} (or set SEQLOOM_CACHE)"


def plain_sha256(file: Path) -> str:
    """SHA-256 of the decompressed bytes."""
    digest = hashlib.sha256()
    with open_binary(file) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(source: Source) -> Path:
    url, path = str(source.url), task_folder() / str(source.file)
    if not url.startswith("https://"):
        raise ConfigError(f"{url}: only https:// addresses are downloaded; {where_to_put(source)}")
    say(f"downloading {url}")
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT) as answer,
            atomic_path(path) as part,
            open(part, "wb") as handle,
        ):
            shutil.copyfileobj(answer, handle)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(f"{url} cannot be downloaded ({reason}): {where_to_put(source)}") from error
    return path
