"""One file from a web server to its place: resumed, checked, whole or absent.

The bytes go to `.fetch/parts/NAME`, the validators of the answer (ETag, Last-Modified) to `NAME~` there.
A cut connection is taken up by `Range` with `If-Range` (RFC 9110, sections 13.1.5 and 14.2), so that a file
which changed meanwhile arrives whole and new. It takes its name when its length and checksum are right.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biodata.errors import DataError, FetchError
from biodata.fetch.checksums import Digests
from biodata.fetch.remote import RemoteFile
from biodata.fetch.web import BROKEN, Web
from biodata.files import make_folder, read_json, write_json
from biodata.io.pieces import PieceFile
from biodata.io.streams import open_binary
from biodata.progress import say

_BLOCK = 1 << 18
_MOST_WRONG = 3  # times that a checksum may be wrong before giving up
_DAMAGED = "the file or the archive's list is damaged there, try later or a mirror (--mirror OLD=NEW)"
_PACKED = (".gz", ".bgz", ".bz2", ".zst")
_MAGIC = {".gz": b"\x1f\x8b", ".bgz": b"\x1f\x8b", ".bz2": b"BZh", ".zst": b"\x28\xb5\x2f\xfd"}

Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A whole file, before it takes its name.

    Attributes:
        part: where the bytes are.
        size: bytes.
        sha256: of these bytes, computed here.
        etag: of the answer, empty if there was none.
        last_modified: as the server wrote it, empty if there was none.
    """

    part: Path
    size: int
    sha256: str
    etag: str
    last_modified: str


class _NewStartError(http.client.HTTPException):
    """What is there cannot be continued; it was removed."""


class Download:
    """One file on its way.

    Args:
        file: what is wanted.
        part: where its bytes are collected; those of an earlier attempt are continued.
        web: how servers are asked.
        advance: told how many bytes arrived; negative where bytes had to be thrown away.
    """

    def __init__(self, file: RemoteFile, part: Path, *, web: Web, advance: Advance) -> None:
        self.file, self.part, self.web, self.advance = file, part, web, advance
        self._notes = part.with_name(f"{part.name}~")  # no name of a file has this letter
        self._digests = Digests()
        make_folder(part.parent)

    def run(self) -> Arrived:
        """Receives the file, however many requests it takes.

        Raises:
            FetchError: it is not there, the server gives up or sends something else, or the checksum stays
                wrong.
        """
        self._take_up()
        farthest = failures = wrong = 0
        while True:
            try:
                self._receive()
            except BROKEN as error:
                failures = 1 if self._digests.size > farthest else failures + 1
                farthest = max(farthest, self._digests.size)
                self.web.wait(self.file.url, error, failures)
                continue
            if not (problem := self._problem()):
                return self._arrived()
            self._discard()
            wrong += 1
            if wrong == _MOST_WRONG:
                raise FetchError(f"{self.file.url}: {problem}, {wrong} times: {_DAMAGED}")
            say(f"{self.file.name}: {problem}; getting it again")

    def remove(self) -> None:
        """Removes the notes, once the part has taken its name."""
        self._notes.unlink(missing_ok=True)

    def _take_up(self) -> None:
        """Counts the bytes of an earlier attempt."""
        if not self.part.is_file():
            return
        notes = read_json(self._notes) if self._notes.is_file() else {}
        if notes.get("url") != self.file.url:
            self._discard()
            return
        self._digests = Digests.of_file(self.part)
        self.advance(self._digests.size)

    def _receive(self) -> None:
        """One request; returns when the server has nothing more to send."""
        have = self._digests.size
        if have and have == self.file.size:
            return
        headers = self._range_headers(have)
        try:
            with self.web.open(self.file.url, headers=headers) as answer:
                self._take(answer, have if headers else 0)
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
            error.close()
            if error.headers.get("Content-Range", "").rpartition("/")[2] != str(have):
                raise self._new_start("the file on the server is shorter than what is here") from None

    def _range_headers(self, have: int) -> dict[str, str]:
        """Asks for the rest of the file that is here, or for all of it if that could mix two versions."""
        if not have:
            return {}
        notes = read_json(self._notes)
        validator = notes["etag"] if not notes["etag"].startswith("W/") else ""
        if validator := validator or notes["last_modified"]:
            return {"Range": f"bytes={have}-", "If-Range": validator}
        return {"Range": f"bytes={have}-"} if self._publisher_sums() else {}

    def _take(self, answer: Any, have: int) -> None:
        """Writes the body of an answer; what is here goes only when a file comes in its place."""
        if answer.status == 206:
            self._check_range(answer.headers, have)
        else:
            have = 0
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        self._check_offer(answer.headers, total)
        block = answer.read1(_BLOCK)
        if not have:
            self._refuse_page(answer.headers, block)
            self._begin(answer.headers)
        # unbuffered: what has arrived survives a kill. All of each block: a disk that becomes full takes what
        # fits, without an error
        with PieceFile(self.part, "ab" if have else "wb") as out:
            while block:
                out.write(block)
                self._digests.update(block)
                self.advance(len(block))
                block = answer.read1(_BLOCK)
        if total is not None and self._digests.size < total:
            raise http.client.IncompleteRead(b"", total - self._digests.size)

    def _begin(self, headers: Mapping[str, str]) -> None:
        """A whole file follows: forgets what was here and notes the validators of what comes."""
        self._discard()
        write_json(
            self._notes,
            {"url": self.file.url, "etag": headers.get("ETag") or "",
             "last_modified": headers.get("Last-Modified") or ""},
        )  # fmt: skip

    def _check_range(self, headers: Mapping[str, str], have: int) -> None:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range") or "")
        notes = read_json(self._notes) if have else {"etag": ""}
        etag = headers.get("ETag") or ""
        if not have or not found or int(found[1]) != have:
            raise self._new_start("the server sends another range than asked")
        if notes["etag"] and etag and etag != notes["etag"]:
            raise self._new_start("the file on the server has changed")

    def _check_offer(self, headers: Mapping[str, str], total: int | None) -> None:
        if None not in (total, self.file.size) and total != self.file.size:
            raise FetchError(f"{self.file.url}: the server offers {total} bytes, the archive's list says "
                             f"{self.file.size}: a new release may be on its way, try later")  # fmt: skip
        encoding = headers.get("Content-Encoding") or "identity"
        is_own = encoding in ("gzip", "x-gzip") and self.file.name.endswith((".gz", ".bgz"))
        if encoding != "identity" and not is_own:
            raise FetchError(f"{self.file.url}: the server sends it packed ({encoding}), though asked not to")

    def _refuse_page(self, headers: Mapping[str, str], block: bytes) -> None:
        start = block.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
        kind = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        is_page = start.startswith((b"<!doctype html", b"<html")) or kind == "text/html"
        if is_page and not self.file.name.endswith((".html", ".htm")):
            raise FetchError(f"{self.file.url}: the server sends a web page where data should be: is the "
                             "address right, does it want a login?")  # fmt: skip

    def _problem(self) -> str:
        """What is wrong with the received file; empty if nothing is."""
        have = self._digests
        if self.file.size is not None and have.size != self.file.size:
            return f"{have.size} bytes, the archive's list says {self.file.size}"
        for kind, wanted in self._publisher_sums().items():
            if getattr(have, kind) != wanted:
                return f"{kind} is {getattr(have, kind)}, the publisher's is {wanted}"
        if self._publisher_sums():
            return ""
        return self._damage()

    def _damage(self) -> str:
        """For files without a publisher's checksum: what their own format tells, which has sums inside."""
        suffix = Path(self.file.name).suffix
        if suffix not in _PACKED:
            return ""
        with open(self.part, "rb") as handle:
            if not handle.read(4).startswith(_MAGIC[suffix]):
                return f"it does not begin like a {suffix} file"
        try:
            with open_binary(self.part) as stream:
                while stream.read(1 << 20):
                    pass
        except DataError:
            return f"it is damaged, breaks off or is no {suffix} file"
        return ""

    def _publisher_sums(self) -> dict[str, str]:
        sums = {"md5": self.file.md5, "sha256": self.file.sha256}
        return {kind: value for kind, value in sums.items() if value is not None}

    def _arrived(self) -> Arrived:
        notes = read_json(self._notes)
        return Arrived(part=self.part, size=self._digests.size, sha256=self._digests.sha256,
                       etag=notes["etag"], last_modified=notes["last_modified"])  # fmt: skip

    def _new_start(self, why: str) -> _NewStartError:
        self._discard()
        return _NewStartError(why)

    def _discard(self) -> None:
        self.advance(-self._digests.size)
        self._digests = Digests()
        self.part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


def put_in_place(arrived: Arrived, path: Path) -> None:
    """Gives a whole file its name, synced to disk."""
    make_folder(path.parent)
    descriptor = os.open(arrived.part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(arrived.part, path)
