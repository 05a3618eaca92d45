"""FASTA text cut into blocks of whole records, with one kind of line end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from biodata.errors import DataError
from biodata.io.limits import record_limit, too_long

HEADER = 62
"""The byte `>`, which begins the header line of a record."""

LONG = 32 << 20
"""Bytes from which a record counts as long: it is a block of its own, of which no copy is made."""

STEP = 1 << 18
"""Bytes that stay in the cache between two passes."""

_LEADING = re.compile(rb"(?:(?:[ \t\n]*|[;#!][^\n]*)\n)*(?:(?:[ \t]*|[;#!][^\n]*)\Z)?")
_PREAMBLE = 16 << 20  # bytes of blank lines and comments before the first record
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def record_blocks(stream: BinaryIO, size: int, *, where: Path | str) -> Iterator[bytearray]:
    """Cuts a stream so that every block but the first begins with a header.

    Args:
        stream: decompressed bytes, with LF, CRLF or CR line ends, perhaps with a byte order mark.
        size: bytes that are read at once; a block is longer where a record is.
        where: the file, for messages.

    Yields:
        Blocks of whole records in which a line feed is the only line end and ends the last line, too. The
        first may begin with blank lines and comments.

    Raises:
        DataError: text before the first header, naming the line.
    """
    return _blocks(_normalised(stream, size), where=where)


def _normalised(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Chunks of about `size` bytes whose only line end is a line feed; the last line has one, too."""
    held = last = b""
    first = True
    while data := stream.read(max(size, len(_BYTE_ORDER_MARK))):
        chunk = held + data if held else data
        if first:
            chunk, first = chunk.removeprefix(_BYTE_ORDER_MARK), False
        held = b""
        if b"\r" in chunk:
            # a CR at the very end may be the first half of CRLF
            chunk, held = (chunk[:-1], b"\r") if chunk.endswith(b"\r") else (chunk, b"")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if chunk:
            last = chunk[-1:]
            yield chunk
    if held or last not in (b"", b"\n"):
        yield b"\n"


def _blocks(chunks: Iterator[bytes], *, where: Path | str) -> Iterator[bytearray]:
    """Cuts chunks so that every block but the first begins with a header; the first may have comments."""
    limit = record_limit()
    pending = bytearray()  # grows in place: a chromosome is held once
    started = False
    for chunk in chunks:
        if not started:
            chunk = bytes(pending) + chunk
            pending.clear()
            started = _starts_with_header(chunk, where)
        at_seam = chunk.startswith(b">") and pending.endswith(b"\n")
        if len(pending) > LONG and (at_seam or b"\n>" in chunk):
            end = 0 if at_seam else chunk.find(b"\n>") + 1
            pending += memoryview(chunk)[:end]
            whole, pending, at_seam = [pending], bytearray(), False
            yield whole.pop()
            chunk = chunk[end:]
        cut = _last_header(chunk)
        if cut or at_seam:
            pending += memoryview(chunk)[:cut]
            whole = [pending]
            pending = bytearray(memoryview(chunk)[cut:])
            yield whole.pop()  # handed over, not kept: it may be a chromosome
        else:
            pending += chunk
            if started and len(pending) > limit:
                raise too_long("a record", where=where)
            if not started and len(pending) > _PREAMBLE:
                what = f"no '>' in the first {_PREAMBLE >> 20} MiB"
                raise DataError(what, where=where, hint="is this a FASTA file?")
    if started:
        whole = [pending]
        del pending
        yield whole.pop()


def _last_header(chunk: bytes) -> int:
    """Where the last header that follows a line feed begins, 0 if none does."""
    at = chunk.rfind(b">")  # one byte is looked for ten times as fast as two
    return chunk.rfind(b"\n>", 0, at + 1) + 1 if at > 0 else 0


def _starts_with_header(text: bytes, where: Path | str) -> bool:
    """Whether the first line that is neither blank nor a comment is there, and is a header."""
    match = _LEADING.match(text)
    end = match.end() if match else 0
    if end == len(text) or text[end:].isspace():
        return False
    if text[end] != HEADER:
        line = text.count(b"\n", 0, end) + 1
        found = text[end : end + 30].split(b"\n")[0].decode("utf-8", "replace")
        refuse_nul(text[:4096], line=1, where=where)
        raise DataError(
            f"'>' expected, found {found!r}", where=f"{where}:{line}", hint="is this a FASTA file?"
        )
    return True


def is_one_record(block: bytearray) -> bool:
    """Whether a block is a header and letters only: one record, without comments.

    >>> is_one_record(bytearray(b">a b; c\\nAC\\nGT\\n")), is_one_record(bytearray(b">a\\nAC\\n;x\\nGT\\n"))
    (True, False)
    """
    letters = block.find(b"\n")
    return block[0] == HEADER and not any(block.find(mark, letters) >= 0 for mark in b">;#!")


def join_lines(text: bytearray) -> int:
    """Takes the line feeds out of a text, in place; how many there were.

    >>> text = bytearray(b"AC\\nG\\n")
    >>> join_lines(text), text
    (2, bytearray(b'ACG'))
    """
    view, end = memoryview(text), 0
    for start in range(0, len(view), STEP):
        piece = bytes(view[start : start + STEP]).replace(b"\n", b"")
        view[end : end + len(piece)] = piece
        end += len(piece)
    view.release()
    lines = len(text) - end
    del text[end:]
    return lines


def refuse_nul(text: bytes | bytearray, *, line: int, where: Path | str) -> None:
    """Raises `DataError` with the line of the first NUL byte; the text begins at `line`.

    Args:
        text: a stretch of the file.
        line: number of its first line, 1-based.
        where: file, for the message.
    """
    if (at := text.find(b"\0")) >= 0:
        line += text.count(b"\n", 0, at)
        raise DataError("NUL byte", where=f"{where}:{line}", hint="binary or UTF-16 is no FASTA file")
