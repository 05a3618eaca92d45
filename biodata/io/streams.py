"""Files opened as streams of plain bytes, whatever their compression and their name.

The compression is read from the first bytes, never from the suffix. A file that ends too early, whose
checksum is wrong, or that is a web page where data should be is a `DataError` that names it: silently
shortened input is the worst thing a reader can hand on (pyfastx returned 1,196 of 2,000 records of a
truncated .gz).
"""

from __future__ import annotations

import bz2
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard
from isal import igzip, isal_zlib

from biodata.errors import ConfigError, DataError
from biodata.io.limits import record_limit, too_long

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of a file to the compression that `open_binary` undoes (bgzip is gzip with many members)."""

_REFUSED = {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ\x00": "xz-compressed",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF",
}
# bgzip ends a whole file with this empty block (SAM specification, section 4.1.2)
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BUFFER = 1 << 20
_TAIL = 1 << 12  # bytes in which the end of a line is looked for first
_ISAL_ERROR = cast(type[Exception], isal_zlib.error)
_BROKEN = (EOFError, zlib.error, _ISAL_ERROR, zstandard.ZstdError, OSError)
_RELOAD = "the file is damaged or incomplete: get it again"


def compression_of(path: Path) -> str:
    """`plain`, `gzip`, `bz2` or `zstd`, by the first bytes.

    Raises:
        ConfigError: there is no such file, or it cannot be opened.
        DataError: an archive or a picture.
    """
    head = _head(path)
    for magic, what in _REFUSED.items():
        if head.startswith(magic):
            raise DataError(f"this is {what}", where=path, hint="unpack it first or give sequence files")
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), "plain")


def open_binary(path: Path | str) -> BinaryIO:
    """The decompressed bytes of a file as a buffered stream; close it or use it in `with`.

    Args:
        path: plain, gzip (any number of members, bgzip included), bz2 or zstd (any number of frames).

    Raises:
        ConfigError: there is no such file, or it cannot be opened.
        DataError: here for a web page, an archive or a bgzip file without its last block; while reading for
            a file that ends too early or is damaged.
    """
    path = Path(path)
    compression = compression_of(path)
    if compression == "gzip":
        _check_bgzip_end(path)
    stream = io.BufferedReader(_Checked(path, _decompressed(path, compression)), _BUFFER)
    try:
        _refuse_web_page(path, stream.peek(512)[:512])
    except DataError:
        stream.close()
        raise
    return cast(BinaryIO, stream)


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(512)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error


def _decompressed(path: Path, compression: str) -> io.RawIOBase:
    if compression == "gzip":
        return cast(io.RawIOBase, igzip.open(path, "rb"))
    if compression == "bz2":
        return cast(io.RawIOBase, bz2.open(path, "rb"))
    if compression == "zstd":
        return _ZstdFrames(path)
    return cast(io.RawIOBase, open(path, "rb", buffering=0))


def _refuse_web_page(path: Path, head: bytes) -> None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise DataError("this is a web page, not data", where=path, hint="the download failed: get it again")


def _check_bgzip_end(path: Path) -> None:
    with open(path, "rb") as handle:
        head = handle.read(18)
        is_bgzip = len(head) == 18 and head[3] & 4 and head[12:16] == b"BC\x02\x00"
        if not is_bgzip:
            return
        handle.seek(-min(len(_BGZF_END), os.path.getsize(path)), os.SEEK_END)
        if handle.read() != _BGZF_END:
            raise DataError("bgzip file without its last (empty) block", where=path, hint=_RELOAD)


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise DataError(f"cannot be decompressed: {error}", where=path, hint=_RELOAD) from error


class _Checked(io.RawIOBase):
    """A stream whose reading errors name the file, and that refuses a line above `record_limit`."""

    def __init__(self, path: Path, stream: io.RawIOBase) -> None:
        self._path = path
        self._stream = stream
        self._limit = record_limit()
        self._line = 0  # bytes since the last line end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # pyright: ignore[reportMissingParameterType]
        with _as_data_error(self._path):
            n = self._stream.readinto(buffer) or 0
        after = _after_last_line_end(bytes(buffer[max(0, n - _TAIL) : n]))
        if after is None:
            after = _after_last_line_end(bytes(buffer[:n]))
        self._line = self._line + n if after is None else after
        if self._line > self._limit:
            raise too_long("a line", where=self._path)
        return n

    def close(self) -> None:
        self._stream.close()
        super().close()


def _after_last_line_end(text: bytes) -> int | None:
    """How many bytes follow the last line end; `None` without one."""
    end = max(text.rfind(b"\n"), text.rfind(b"\r"))
    return len(text) - end - 1 if end >= 0 else None


class _ZstdFrames(io.RawIOBase):
    """Every frame of a zstd file; zstandard's own reader takes a truncated file for a whole one."""

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(path)
        self._decoder: zstandard.ZstdDecompressionObj | None = None
        self._pending = b""  # compressed bytes after the end of a frame
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # pyright: ignore[reportMissingParameterType]
        while not self._ready:
            chunk = self._pending or self._file.read(_BUFFER)
            self._pending = b""
            if not chunk:
                if self._decoder is not None:
                    raise EOFError("zstd data ends inside a frame")
                return 0
            self._ready = memoryview(self._decode(chunk))
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _decode(self, chunk: bytes) -> bytes:
        decoder = self._decoder = self._decoder or zstandard.ZstdDecompressor().decompressobj()
        plain = decoder.decompress(chunk)
        if decoder.eof:
            self._decoder, self._pending = None, decoder.unused_data
        return plain

    def close(self) -> None:
        self._file.close()
        super().close()
