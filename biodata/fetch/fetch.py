"""A source name to a folder of whole, checked files: list, say what is coming, download, record."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError, FetchError, InterruptedRunError
from biodata.fetch.checksums import Digests
from biodata.fetch.config import FetchConfig
from biodata.fetch.download import Download, put_in_place
from biodata.fetch.plan import Wanted, describe, list_wanted, web_for
from biodata.fetch.record import (
    ABOUT,
    MANIFEST,
    WORK,
    Entry,
    Journal,
    read_entries,
    read_manifest,
    refuse_other_fetch,
    write_manifest,
)
from biodata.fetch.remote import RemoteFile
from biodata.fetch.web import Web
from biodata.files import make_folder
from biodata.folders import locked
from biodata.progress import progress, say
from biodata.storage import storage_errors


def fetch(config: FetchConfig, out: Path, *, web: Web | None = None) -> dict[str, Any]:
    """Downloads what is not there yet and writes `fetch.json`; says size and licence first, on stderr.

    Args:
        config: what.
        out: the folder; files of other sources in it stay.
        web: how servers are asked; by default as `config` says.

    Returns:
        The plan (`describe`) with `downloaded` and `present`, numbers of files.

    Raises:
        ConfigError: the folder holds another release, or a file of a stranger under the name of one that is
            wanted.
        FetchError: a file cannot be had; those before it are kept.
        SeqloomError: another fetch is running in the folder, or its disk is full or cannot be written.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    out, web = Path(out), web or web_for(config)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: --out needs a folder")
    try:
        wanted = list_wanted(config, web)
        plan = describe(wanted, out)
        with storage_errors(out):
            make_folder(out)
            with locked(out, name=WORK, doing="fetch") as work:
                counts = _Fetch(wanted, out, web, overwrite=config.overwrite).run()
                shutil.rmtree(work)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; what has arrived is kept in {out}: the same command goes on there"
        ) from None
    return plan | counts


class _Fetch:
    """One fetch into a folder that is held."""

    def __init__(self, wanted: list[Wanted], out: Path, web: Web, *, overwrite: bool) -> None:
        self.wanted, self.out, self.web = wanted, out, web
        if (out / MANIFEST).exists() and read_manifest(out) is None:
            raise ConfigError(f"{out / MANIFEST} is not from seqloom: give another --out")
        keys = sorted(f"{w.name} {w.name.what}" for w in wanted)
        refuse_other_fetch(out, keys)
        self.entries = read_entries(out)
        self._check_releases(overwrite)
        self.journal = Journal(out, keys)

    def run(self) -> dict[str, int]:
        """Downloads and records; the number of files that came and that were there."""
        todo = [(w, file) for w in self.wanted for file in w.files if not self._is_present(w, file)]
        self._say_plan(todo)
        self._check_space([file for _, file in todo])
        self.journal.begin()
        total = sum(file.size or file.about or 0 for _, file in todo)
        with progress("fetching", total or None, unit="B") as advance:
            for wanted, file in todo:
                part = self.out / WORK / "parts" / file.name
                download = Download(file, part, web=self.web, advance=advance)
                arrived = download.run()
                entry = _entry(wanted, file, arrived.size, arrived.sha256)
                self._record(replace(entry, etag=arrived.etag, last_modified=arrived.last_modified))
                put_in_place(arrived, self.out / file.name)
                download.remove()
        self._write_manifest()
        there = sum(len(w.files) for w in self.wanted) - len(todo)
        return {"downloaded": len(todo), "present": there}

    def _is_present(self, wanted: Wanted, file: RemoteFile) -> bool:
        path = self.out / file.name
        known = self.entries.get(file.name)
        if known and known.url == file.url and known.release == wanted.release and (
            file.md5 in (None, known.md5)
        ):  # fmt: skip
            return True
        if not path.exists():
            return False
        sums = {kind: getattr(file, kind) for kind in ("md5", "sha256") if getattr(file, kind)}
        found = Digests.of_file(path) if path.is_file() and sums else None
        if found and all(getattr(found, kind) == value for kind, value in sums.items()):
            self._record(_entry(wanted, file, found.size, found.sha256))
            return True
        raise ConfigError(
            f"{path} is there already and is not the file of {wanted.name}: move it or give another --out"
        )

    def _record(self, entry: Entry) -> None:
        self.journal.add(entry)
        self.entries[entry.name] = entry

    def _check_releases(self, overwrite: bool) -> None:
        """Two releases of one archive in one folder would be mixed by the next build."""
        current = {w.name.source.name: w.release for w in self.wanted}
        old = [e for e in self.entries.values() if current.get(_archive(e), e.release) != e.release]
        if not old:
            return
        if not overwrite:
            archive = _archive(old[0])
            raise ConfigError(
                f"{self.out} holds release {old[0].release} of {archive}, the archive is at "
                f"{current[archive]}: give another --out, or --overwrite to replace it"
            )
        for entry in old:
            (self.out / entry.name).unlink()
            del self.entries[entry.name]

    def _check_space(self, files: list[RemoteFile]) -> None:
        parts = self.out / WORK / "parts"
        here = sum(p.stat().st_size for p in parts.rglob("*") if p.is_file()) if parts.is_dir() else 0
        needed = sum(file.size or file.about or 0 for file in files) - here
        free = shutil.disk_usage(self.out).free
        if needed > free:
            raise FetchError(f"{self.out} has room for {_amount(free)}, {_amount(needed)} are needed: give "
                             "another --out, or take less (--limit, --max-bytes)")  # fmt: skip

    def _say_plan(self, todo: list[tuple[Wanted, RemoteFile]]) -> None:
        for wanted in self.wanted:
            new = [file for w, file in todo if w is wanted]
            size = sum(file.size or file.about or 0 for file in new)
            rest = f" and {wanted.unsized} of unknown size" if wanted.unsized else ""
            some = "" if len(wanted.files) == wanted.listed else f" (of {wanted.listed} in the archive)"
            release = f", release {wanted.release}" if wanted.release else ""
            count = f"{len(wanted.files)} file{'s' if len(wanted.files) != 1 else ''}"
            say(f"{wanted.name} {wanted.name.what}{release}: {count}{some}, "
                f"{len(new)} to get, {_amount(size)}{rest}, to {self.out}")  # fmt: skip
            say(f"  licence: {wanted.name.source.licence}")

    def _write_manifest(self) -> None:
        manifest = read_manifest(self.out) or {"sources": []}
        about: dict[str, Mapping[str, Any]] = {
            f"{s['source']} {s['what']}": {name: s[name] for name in ABOUT} for s in manifest["sources"]
        }
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        for wanted in self.wanted:
            about[f"{wanted.name} {wanted.name.what}"] = wanted.about() | {"fetched": today}
        order = {key: number for number, key in enumerate(about)}
        entries = sorted(self.entries.values(), key=lambda e: order.get(" ".join(e.key), len(order)))
        write_manifest(self.out, [e for e in entries if " ".join(e.key) in about], about)


def _entry(wanted: Wanted, file: RemoteFile, size: int, sha256: str) -> Entry:
    return Entry(source=str(wanted.name), what=wanted.name.what, release=wanted.release, name=file.name,
                 url=file.url, size=size, sha256=sha256, md5=file.md5 or "",
                 publisher_sha256=file.sha256 or "")  # fmt: skip


def _archive(entry: Entry) -> str:
    return entry.source.partition(":")[0]


def _amount(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
