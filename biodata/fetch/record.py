"""What a folder of fetched files says of itself: `fetch.json`, and the journal while a fetch is running.

NAME ...               the files, whole
fetch.json             written last: sources with release and licence, each file with address and checksums
.fetch/                only while a fetch is running or was stopped
  journal.jsonl        one line per finished file
  parts/               files on their way
  lock
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import biodata
from biodata.errors import ConfigError, DataError
from biodata.fetch.remote import RemoteFile
from biodata.files import make_folder, read_json, write_json

MANIFEST = "fetch.json"
WORK = ".fetch"
ABOUT = ("archive", "title", "home", "licence", "citation", "accessions", "files_listed", "select", "fetched")
"""What is said of a source besides its name, kind, release and files."""
_VERSION = 1
_RUNNING = "running.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fetched file.

    Attributes:
        source: for example `refseq:viral`.
        what: its kind, for example `genomic.fna`.
        release: the publisher's, empty if there is none.
        name: path below the folder, with `/`.
        url: the publisher's address.
        size: bytes.
        sha256: computed when it arrived.
        md5: publisher's, empty if there is none.
        publisher_sha256: publisher's, empty if there is none.
        etag: of the answer it came with.
        last_modified: of the answer it came with.
    """

    source: str
    what: str
    release: str
    name: str
    url: str
    size: int
    sha256: str
    md5: str = ""
    publisher_sha256: str = ""
    etag: str = ""
    last_modified: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Source and kind."""
        return self.source, self.what


def read_entries(folder: Path) -> dict[str, Entry]:
    """Name to entry of the files that are whole: those of `fetch.json` and of the journal.

    Raises:
        DataError: `fetch.json` is of another version.
    """
    found: dict[str, Entry] = {}
    manifest = read_manifest(folder)
    for source in manifest["sources"] if manifest else []:
        shared = {name: source[name] for name in ("source", "what", "release")}
        for file in source["files"]:
            found[file["name"]] = Entry(**shared, **file)
    for line in _journal_lines(folder):
        entry = Entry(**line)
        found[entry.name] = entry
    return {name: e for name, e in found.items() if _is_there(folder / name, e.size)}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """`fetch.json` of a folder; `None` without one, or if another program wrote it.

    Raises:
        DataError: it is of another version, damaged, or names files outside of the folder.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except ValueError:
        return None
    if not isinstance(found, dict) or "seqloom_version" not in found:
        return None
    if found.get("format") != _VERSION:
        raise DataError(f"format {found.get('format')!r}", where=path, hint=f"this seqloom reads {_VERSION}")
    _check(found, path)
    return found


def _check(manifest: Mapping[str, Any], path: Path) -> None:
    """Names in it become paths, here and in builds, so that an edited record must not lead elsewhere."""
    try:
        for source in manifest["sources"]:
            shared = {name: source[name] for name in ("source", "what", "release")}
            if missing := sorted({*ABOUT} - {*source}):
                raise KeyError(missing[0])
            for file in source["files"]:
                entry = Entry(**shared, **file)
                RemoteFile(url=entry.url, name=entry.name)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"the record is damaged ({error})", where=path,
                        hint="fetch into a new folder") from error  # fmt: skip


def write_manifest(folder: Path, entries: Iterable[Entry], about: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes `fetch.json` atomically.

    Args:
        folder: of the files.
        entries: all files.
        about: what is said of each source (`refseq:viral genomic.fna`) besides its files.
    """
    grouped: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.key, []).append(entry)
    sources = []
    for (source, what), files in grouped.items():
        shared = ("source", "what", "release")
        listed = [{k: v for k, v in asdict(e).items() if k not in shared} for e in files]
        head = {"source": source, "what": what, "release": files[0].release}
        sources.append({**head, **about[f"{source} {what}"], "files": listed})
    write_json(
        folder / MANIFEST, {"format": _VERSION, "seqloom_version": biodata.__version__, "sources": sources}
    )


class Journal:
    """Appends finished files, each synced to disk before the file takes its name.

    Args:
        folder: of the files.
        keys: sources with their kinds that are being fetched.
    """

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        self._keys, self._running = list(keys), folder / WORK / _RUNNING
        self._path = folder / WORK / "journal.jsonl"
        make_folder(self._path.parent)
        if self._path.is_file():  # a killed process leaves half a line
            whole = self._path.read_bytes().rpartition(b"\n")
            os.truncate(self._path, len(whole[0]) + len(whole[1]))

    def begin(self) -> None:
        """Notes that the folder is not complete from here on."""
        write_json(self._running, self._keys)

    def add(self, entry: Entry) -> None:
        """One more file."""
        with open(self._path, "a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(entry)) + "\n")
            out.flush()
            os.fsync(out.fileno())


def refuse_other_fetch(folder: Path, keys: Sequence[str]) -> None:
    """Raises where a fetch of something else was stopped: its files would be forgotten.

    Raises:
        ConfigError: naming what is unfinished.
    """
    running = folder / WORK / _RUNNING
    others = sorted({*read_json(running)} - {*keys}) if running.is_file() else []
    if others:
        raise ConfigError(
            f"{folder} has an unfinished fetch of {', '.join(others)}: finish it first or give another --out"
        )


def refuse_unfinished(folder: Path) -> None:
    """Raises where a fetch into a folder was stopped or is still running.

    Raises:
        ConfigError: it is unfinished.
    """
    if (Path(folder) / WORK / _RUNNING).is_file():
        raise ConfigError(
            f"{folder} is an unfinished fetch: give the same `seqloom data fetch` command again"
        )


def _journal_lines(folder: Path) -> list[dict[str, Any]]:
    path = Path(folder) / WORK / "journal.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]  # a kill leaves half a line
    except ValueError as error:
        raise DataError(
            f"the journal is damaged ({error})", where=path, hint="fetch into a new folder"
        ) from error


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
