"""What an archive offers: one file, and the list of files behind a source name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from biodata.errors import DataError

_PART = re.compile(r"[A-Za-z0-9_+=,@][A-Za-z0-9._+=,@-]*")
_HASHES = {"md5": 32, "sha256": 64}
_LONGEST = 240  # bytes of a file name that every file system and a `.part` behind it take


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of an archive.

    Attributes:
        url: the publisher's own address, http or https; a mirror is put in its place by `Web`.
        name: where it goes below the folder, parts joined by `/`. It comes from the network, so only letters,
            digits and `._+=,@-` are taken, no part begins with a dot, nothing leads out of the folder.
        size: exact bytes if the publisher says so; a file of another length is refused.
        about: rounded bytes, where only that is known, for the plan.
        md5: publisher's checksum, 32 hexadecimal digits.
        sha256: publisher's checksum, 64 hexadecimal digits.

    Raises:
        DataError: an unsafe name, address or checksum.

    >>> RemoteFile(url="https://x.org/a.gz", name="../a.gz")
    Traceback (most recent call last):
    biodata.errors.DataError: https://x.org/a.gz: file name '../a.gz' is not safe (letters, digits and \
._+=,@- are allowed, no part begins with a dot)
    """

    url: str
    name: str
    size: int | None = None
    about: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]+/", self.url) or re.search(r"\s", self.url):
            raise DataError(f"{self.url!r} is no http or https address of a file")
        parts = self.name.split("/")
        if not all(_PART.fullmatch(part) and len(part) <= _LONGEST for part in parts):
            raise DataError(
                f"file name {self.name[:_LONGEST]!r} is not safe",
                where=self.url,
                hint="letters, digits and ._+=,@- are allowed, no part begins with a dot",
            )
        for kind, digits in _HASHES.items():
            value = getattr(self, kind)
            if value is not None and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
                raise DataError(f"{kind} {value!r} of {self.name} is not {digits} hexadecimal digits",
                                where=self.url)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What of a source is asked for.

    Attributes:
        part: what stands behind the colon, `viral` of `refseq:viral`; one of `Source.parts`.
        what: which kind of file, one of `Source.kinds`.
        select: `--select NAME=VALUE`, for sources that can choose among their files by metadata.
        addresses: text of a file that the user has (a `bulk_download.sh`, a list of addresses); empty for
            the archive's own list.
    """

    part: str
    what: str
    select: tuple[tuple[str, str], ...] = ()
    addresses: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files behind a request, in a fixed order.

    Attributes:
        files: at least one, names all different.
        release: the publisher's release number or date, where there is one.
    """

    files: tuple[RemoteFile, ...]
    release: str | None = None

    def __post_init__(self) -> None:
        if not self.files:
            raise DataError("the archive lists no file for this request")
        name, times = max(Counter(file.name for file in self.files).items(), key=lambda item: item[1])
        if times > 1:
            raise DataError(f"the archive lists {name!r} more than once")
