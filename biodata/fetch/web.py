"""Asking web servers: retries with back-off, Retry-After, mirrors, errors in one line."""

from __future__ import annotations

import email.utils
import http.client
import os
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from biodata import __version__
from biodata.errors import ConfigError, FetchError
from biodata.progress import say

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP states after which the same request is tried again."""

BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError, urllib.error.URLError)
"""What a cut, slow or refused connection raises."""

_AGENT = f"seqloom/{__version__}"
_LATER = "give the same command again later, it goes on where it stopped"
_PAGE_LIMIT = 256 << 20  # bytes; the longest list we know (RefSeq files.installed) has 2 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long a request is repeated.

    Attributes:
        tries: attempts without any progress before giving up, at least 1.
        first: seconds before the second attempt; doubled each time, with up to a quarter of jitter.
        longest: seconds that one wait may last; a server that asks for more (Retry-After) ends the fetch.
        timeout: seconds without a byte after which a connection counts as cut.
    """

    tries: int = 6
    first: float = 1.0
    longest: float = 120.0
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Web:
    """The way to archives.

    Args:
        mirrors: begin of a publisher's address to what stands in its place, for example
            `{"https://ftp.ncbi.nlm.nih.gov/": "https://mirror.example.org/ncbi/"}`; the longest match counts.
            Addresses in manifests stay the publisher's.
        patience: retries and time-outs.
        sleep: waits; tests put their own here.
    """

    mirrors: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep

    def text(self, url: str, *, data: bytes | None = None) -> str:
        """A page or list as text (UTF-8, else Latin-1), with retries.

        Args:
            url: the publisher's address.
            data: a form to POST, already encoded.

        Raises:
            FetchError: it is not there, or the server does not answer after all retries.
        """
        body = self.retried(url, lambda: self._body(url, data))
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body.decode("latin-1")

    def size(self, url: str) -> int | None:
        """Bytes that the server promises for a file (HEAD), `None` if it does not say.

        Raises:
            FetchError: as for `text`.
        """
        length = self.retried(url, lambda: self._head(url).get("Content-Length", ""))
        return int(length) if length.isdigit() else None

    def address(self, url: str) -> str:
        """The address that is really asked."""
        found = max((old for old in self.mirrors if url.startswith(old)), key=len, default="")
        return self.mirrors[found] + url.removeprefix(found) if found else url

    @contextmanager
    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        method: str | None = None,
    ) -> Iterator[Any]:
        """One request without retries; yields the answer (`http.client.HTTPResponse`).

        Args:
            url: as the archive lists it; `address` puts a mirror in its place.
            headers: sent besides the program's name.
            data: body of the request, None for none.
            method: GET without a body, POST with one, unless said otherwise.

        Raises:
            urllib.error.HTTPError: any status but 2xx.
            OSError, http.client.HTTPException: a connection that fails; see `BROKEN`.
        """
        # identity: what arrives must be the file's own bytes, whose length and checksum are published
        sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **(headers or {})}
        request = urllib.request.Request(self.address(url), data=data, headers=sent, method=method)
        with urllib.request.urlopen(request, timeout=self.patience.timeout) as answer:
            yield answer

    def retried(self, url: str, attempt: Callable[[], Any]) -> Any:
        """The result of `attempt`, repeated while what it raises is temporary.

        Raises:
            FetchError: it is not temporary, or there were too many attempts.
        """
        for number in range(1, self.patience.tries + 1):
            try:
                return attempt()
            except BROKEN as error:
                self.wait(url, error, number)
        raise AssertionError("wait raises after the last try")

    def wait(self, url: str, error: Exception, failures: int) -> None:
        """Waits after a failed attempt, longer each time or as long as the server asks.

        Args:
            error: what was raised.
            failures: attempts in a row that failed, this one included.

        Raises:
            FetchError: the error is not temporary, the attempts are used up or the wait would be too long.
        """
        problem = describe(error)
        code = None
        if isinstance(error, urllib.error.HTTPError):
            code = error.code
            error.close()
        if code is not None and code not in TEMPORARY:
            raise FetchError(f"{url}: {problem}: {_advice(code)}") from None
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            raise FetchError(f"{url}: the server's certificate cannot be verified ({problem})") from None
        if failures >= self.patience.tries:
            raise FetchError(f"{url}: {problem}, {failures} times in a row: {_LATER}") from None
        asked = _retry_after(error)
        if asked is not None and asked > self.patience.longest:
            raise FetchError(f"{url}: {problem}, the server asks for {asked:.0f} s: {_LATER}") from None
        seconds = asked
        if seconds is None:
            seconds = min(self.patience.first * 2 ** (failures - 1), self.patience.longest)
            seconds *= 1 + random.random() / 4
        say(f"{urlsplit(url).netloc}: {problem}; trying again in {seconds:.0f} s")
        self.sleep(seconds)

    def _body(self, url: str, data: bytes | None) -> bytes:
        with self.open(url, data=data) as answer:
            body = answer.read(_PAGE_LIMIT + 1)
            promised = answer.headers.get("Content-Length", "")
        if promised.isdigit() and len(body) < int(promised):
            raise http.client.IncompleteRead(body, int(promised) - len(body))  # read(n) itself stays silent
        if len(body) > _PAGE_LIMIT:
            raise FetchError(f"{url}: the list has more than {_PAGE_LIMIT >> 20} MB, that cannot be one")
        return body

    def _head(self, url: str) -> Mapping[str, str]:
        with self.open(url, method="HEAD") as answer:
            return answer.headers


def mirrors_from(texts: tuple[str, ...]) -> dict[str, str]:
    """Mirrors of `--mirror OLD=NEW` options and of the variable `SEQLOOM_MIRRORS` (separated by blanks).

    Raises:
        ConfigError: one that is not two addresses.

    >>> mirrors_from(("https://a.org=http://127.0.0.1:8000/a",))
    {'https://a.org/': 'http://127.0.0.1:8000/a/'}
    """
    found = {}
    for text in [*os.environ.get("SEQLOOM_MIRRORS", "").split(), *texts]:
        old, _, new = text.partition("=")
        if not all(
            urlsplit(side).scheme in ("http", "https") and urlsplit(side).netloc for side in (old, new)
        ):
            raise ConfigError(f"mirror is {text!r}, allowed: OLD=NEW, both http or https addresses")
        found[old.rstrip("/") + "/"] = new.rstrip("/") + "/"
    return found


def describe(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}".strip()
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was cut"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)


def _advice(code: int) -> str:
    if code in (404, 410):
        return "there is no such file; has the archive moved it? (a mirror: --mirror OLD=NEW)"
    if code in (401, 403):
        return "the server refuses it; it may want a login or block this address"
    return "the server refuses the request"


def _retry_after(error: Exception) -> float | None:
    """Seconds of a Retry-After header, given as a number or a date; `None` without one."""
    if not isinstance(error, urllib.error.HTTPError):
        return None
    text = (error.headers.get("Retry-After") or "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
