"""A local HTTP server that plays archives, well-behaved or not.

`ArchiveServer(files)` serves `{"ftp.ncbi.nlm.nih.gov/refseq/release/RELEASE_NUMBER": b"231"}` with Range,
If-Range, ETag and Last-Modified; every folder has an index page in Apache's manner. `server.mirrors` is what
`Web(mirrors=...)` takes, so that the publisher's addresses lead here. Faults are put on a path and used up
one a request: `server.faults[path] = [Status(503), Cut(after=100)]`. Layouts: `archive_layouts.py`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# a machine behind a proxy would send requests to this server there
os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1"]))

MODIFIED = "Mon, 02 Nov 2026 10:11:00 GMT"


@dataclass(frozen=True, slots=True)
class Status:
    """Answers with an error and, if given, Retry-After."""

    code: int
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """Promises the whole length, sends `after` bytes and closes the connection."""

    after: int


@dataclass(frozen=True, slots=True)
class Hang:
    """Sends `after` bytes, then nothing more until `ArchiveServer.go_on` is set."""

    after: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """The right number of bytes, the last one wrong."""


@dataclass(frozen=True, slots=True)
class Page:
    """HTTP 200 with a web page instead of data (ZINC does so); `honest` says text/html, too."""

    honest: bool = True


@dataclass(frozen=True, slots=True)
class WholeFile:
    """Ignores Range: 200 and everything."""


@dataclass(frozen=True, slots=True)
class WrongRange:
    """206 that begins elsewhere than asked, and says so."""


@dataclass(frozen=True, slots=True)
class NoLength:
    """No Content-Length: the end of the connection ends the file; cut after `after` bytes if given."""

    after: int | None = None


Fault = Status | Cut | Hang | Wrong | Page | WholeFile | WrongRange | NoLength


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came in."""

    method: str
    path: str
    range: str
    if_range: str


class ArchiveServer:
    """Serves `files` on a port of its own until the `with` block ends.

    Args:
        files: `host/path` to bytes; may be changed while it runs.
        validators: whether ETag and Last-Modified are sent.

    Attributes:
        faults: path to the faults of its next requests.
        forms: path to what answers a POST: takes the body, returns the page.
        asked: every request, in order.
        go_on: set it to let hanging answers end.
    """

    def __init__(self, files: Mapping[str, bytes], *, validators: bool = True) -> None:
        self.files, self.validators = dict(files), validators
        self.faults: dict[str, list[Fault]] = {}
        self.forms: dict[str, Callable[[bytes], bytes]] = {}
        self.asked: list[Asked] = []
        self.go_on = threading.Event()
        archive = self

        class Handler(_Handler):
            server_of_archive = archive

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT/`."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def mirrors(self) -> dict[str, str]:
        """Publishers' addresses to this server."""
        hosts = sorted({path.split("/")[0] for path in [*self.files, *self.forms]})
        return {f"{kind}://{host}/": f"{self.address}{host}/" for host in hosts for kind in ("http", "https")}

    @property
    def mirror_variable(self) -> str:
        """The same as the value of `SEQLOOM_MIRRORS`."""
        return " ".join(f"{old}={new}" for old, new in self.mirrors.items())

    def requests_of(self, end: str, method: str = "GET") -> list[Asked]:
        """The requests whose path ends so."""
        return [a for a in self.asked if a.path.endswith(end) and a.method == method]

    def __enter__(self) -> ArchiveServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of_archive: ArchiveServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_POST(self) -> None:
        path = self._remember()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = self.server_of_archive.forms.get(path)
        self._send(200 if form else 404, form(body) if form else b"", {"Content-Type": "text/html"})

    def _remember(self) -> str:
        path = self.path.lstrip("/")
        ranges = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        self.server_of_archive.asked.append(Asked(self.command, path, *ranges))
        return path

    def _answer(self, *, send_body: bool) -> None:
        archive, path = self.server_of_archive, self._remember()
        waiting = archive.faults.get(path, [])
        fault = waiting.pop(0) if waiting and send_body else None
        if isinstance(fault, Status):
            self._send(fault.code, b"", {"Retry-After": fault.retry_after} if fault.retry_after else {})
        elif isinstance(fault, Page):
            page = b"<!DOCTYPE html>\n<html><body>" + b"There is nothing here. " * 500 + b"</body></html>"
            kind = "text/html; charset=utf-8" if fault.honest else "application/gzip"
            self._send(200, page, {"Content-Type": kind})
        elif path in archive.files:
            self._send_file(archive.files[path], fault, send_body=send_body)
        elif path == "" or path.endswith("/"):
            self._send_folder(path, send_body=send_body)
        else:
            self._send(404, b"no such file", {"Content-Type": "text/html"})

    def _send_file(self, data: bytes, fault: Fault | None, *, send_body: bool) -> None:
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if self.server_of_archive.validators:
            headers |= {"ETag": etag, "Last-Modified": MODIFIED}
        wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range")
        total, start = len(data), 0
        if wanted and not isinstance(fault, WholeFile) and condition in (None, etag, MODIFIED):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if isinstance(fault, WrongRange):
                start = max(start - 1, 0)
            if start >= total:
                self._send(416, b"", {"Content-Range": f"bytes */{total}"})
                return
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        body = data[start:]
        if isinstance(fault, Wrong):
            body = body[:-1] + bytes([body[-1] ^ 0xFF])
        self._send(
            206 if "Content-Range" in headers else 200, body, headers, fault=fault, send_body=send_body
        )

    def _send_folder(self, path: str, *, send_body: bool) -> None:
        below = {name[len(path) :] for name in self.server_of_archive.files if name.startswith(path)}
        names = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in below})
        if not names:
            self._send(404, b"", {})
            return
        rows = ['<a href="../">Parent Directory</a>                             -   ']
        for name in names:
            size = "-" if name.endswith("/") else _rounded(len(self.server_of_archive.files[path + name]))
            rows.append(f'<a href="{name}">{name}</a>    2026-11-02 10:11  {size:>5}  ')
        page = "<html><head><title>Index</title></head><body><h1>Index</h1><pre>\n"
        page += "\n".join(rows) + "\n</pre></body></html>\n"
        self._send(200, page.encode(), {"Content-Type": "text/html"}, send_body=send_body)

    def _send(
        self, code: int, body: bytes, headers: Mapping[str, str], *, fault: Fault | None = None,
        send_body: bool = True,
    ) -> None:  # fmt: skip
        self.send_response(code)
        if not isinstance(fault, NoLength):
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if not send_body:
            return
        limit = fault.after if isinstance(fault, Cut | Hang | NoLength) else None
        try:
            self.wfile.write(body[:limit])
            if isinstance(fault, Hang):
                self.wfile.flush()
                self.server_of_archive.go_on.wait(60)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has left, as some tests want


def _rounded(size: int) -> str:
    return str(size) if size < 1024 else f"{size / 1024:.1f}K"
