"""What a fetch would bring: the archives' lists, cut to what is asked for, with sizes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from biodata.fetch.config import FetchConfig
from biodata.fetch.names import SourceName, parse_name
from biodata.fetch.remote import RemoteFile, Request
from biodata.fetch.web import Patience, Web, mirrors_from

_HEADS = 50  # files whose size is asked for one by one where no list says it


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The files of one source name.

    Attributes:
        name: of the source, with a kind.
        release: the publisher's, empty if there is none.
        files: what is fetched.
        listed: how many files the archive lists; more than `files` with `limit` or `max_bytes`.
        select: what was chosen, `NAME=VALUE`.
    """

    name: SourceName
    release: str
    files: tuple[RemoteFile, ...]
    listed: int
    select: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Of the files whose size is known, rounded where the archive rounds."""
        return sum(file.size or file.about or 0 for file in self.files)

    @property
    def unsized(self) -> int:
        """Number of files whose size nobody says."""
        return sum(file.size is None and file.about is None for file in self.files)

    def about(self) -> dict[str, Any]:
        """What manifests say of the source."""
        source = self.name.source
        return {"archive": source.name, "title": source.title, "home": source.home, "licence": source.licence,
                "citation": source.citation, "accessions": source.accessions,
                "files_listed": self.listed, "select": list(self.select)}  # fmt: skip


def web_for(config: FetchConfig) -> Web:
    """The web as a configuration wants it."""
    patience = Patience(tries=config.tries, timeout=config.timeout)
    return Web(mirrors=mirrors_from(config.mirror), patience=patience)


def list_wanted(config: FetchConfig, web: Web) -> list[Wanted]:
    """Asks the archives for their lists.

    Raises:
        ConfigError: no source, or two that have files of one name.
        FetchError: a list cannot be had.
    """
    if not config.sources:
        raise ConfigError(
            "sources is empty, allowed: names such as refseq:viral (see `seqloom data sources`)"
        )
    select = tuple((k, v) for k, _, v in (text.partition("=") for text in config.select))
    addresses = Path(config.addresses).read_text(encoding="utf-8") if config.addresses else ""
    found, left = [], config.max_bytes
    for text in config.sources:
        name = parse_name(text, what=config.what).with_kind()
        request = Request(part=name.part, what=name.what, select=select, addresses=addresses)
        listing = name.source.listing(request, web)
        files = _with_sizes(listing.files[: config.limit or None], web)
        if config.max_bytes:
            files, left = _that_fit(files, left)
        found.append(Wanted(name=name, release=listing.release or "", files=files,
                            listed=len(listing.files), select=config.select))  # fmt: skip
    _refuse_same_names(found)
    return found


def describe(wanted: Iterable[Wanted], folder: Path) -> dict[str, Any]:
    """The plan: sources with release, licence, files and bytes; what is there already is not taken off."""
    sources = [
        {"source": str(w.name), "what": w.name.what, "release": w.release, "licence": w.name.source.licence,
         "files": len(w.files), "files_listed": w.listed, "bytes": w.bytes, "files_without_size": w.unsized}
        for w in wanted
    ]  # fmt: skip
    free = shutil.disk_usage(_existing(folder)).free
    return {"path": str(folder), "sources": sources, "files": sum(s["files"] for s in sources),
            "bytes": sum(s["bytes"] for s in sources), "free_bytes": free}  # fmt: skip


def _with_sizes(files: tuple[RemoteFile, ...], web: Web) -> tuple[RemoteFile, ...]:
    """Asks the server for the sizes that no list says, unless that would be many requests."""
    unknown = sum(file.size is None and file.about is None for file in files)
    if unknown > _HEADS:
        return files
    return tuple(f if f.size or f.about else replace(f, about=web.size(f.url)) for f in files)


def _that_fit(files: tuple[RemoteFile, ...], room: int) -> tuple[tuple[RemoteFile, ...], int]:
    """The first files that fit into `room` bytes together, and the room left."""
    kept = []
    for file in files:
        size = file.size if file.size is not None else file.about
        if size is None or size > room:
            break
        room -= size
        kept.append(file)
    if not kept:
        raise ConfigError("max_bytes is too small for the first file, or its size is unknown: use --limit")
    return tuple(kept), room


def _refuse_same_names(wanted: list[Wanted]) -> None:
    seen: dict[str, Wanted] = {}
    for w in wanted:
        for file in w.files:
            if (other := seen.setdefault(file.name, w)) is not w:
                raise ConfigError(f"{other.name} and {w.name} both have a file {file.name}: fetch them into "
                                  "folders of their own")  # fmt: skip


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = Path(os.path.abspath(folder))
    return folder if folder.exists() else _existing(folder.parent)
