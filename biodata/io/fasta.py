"""FASTA as a stream of Arrow batches, and back.

The reader is columnar: a block of whole records becomes one buffer without line ends, and ids, descriptions
and sequences are cut from it by offsets, so that the cost per record is a few machine words. Letters stay as
they stand in the file, case, gaps and inner spaces included; `biodata.curate.letters` treats and counts them.

The dialects that are read: LF, CRLF and lone CR; a byte order mark; blank lines; `> id` with a space;
comment lines beginning with `;`, `#` or `!` (old FASTA and the BLAST dialect), before and inside records;
records without letters; no final line end; descriptions that are not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biodata.arrays import arrow
from biodata.errors import DataError
from biodata.files import atomic_path
from biodata.io.fasta_blocks import (
    HEADER,
    LONG,
    STEP,
    is_one_record,
    join_lines,
    record_blocks,
    refuse_nul,
)
from biodata.io.raw import RAW_SCHEMA
from biodata.io.streams import open_binary

Int64s = npt.NDArray[np.int64]
Bytes: TypeAlias = "bytes | bytearray"
Count = Callable[[str, int], None]

MAX_ROWS = 65_536
"""A batch never has more rows than this, however short the records are."""

_NEWLINE = 10
_COMMENTS = (ord(";"), ord("#"), ord("!"))
_BLANKS = b" \t"


def read_fasta(
    path: Path | str, *, batch_bytes: int = 4 << 20, on_change: Count | None = None
) -> Iterator[pa.RecordBatch]:
    """Reads a FASTA file of any compression, in order, in bounded memory.

    Args:
        path: the file; plain, gzip, bgzip, bz2 or zstd.
        batch_bytes: bytes of text that are parsed at once (at least 1). A batch holds about this many bytes
            and at most `MAX_ROWS` rows; a record that is longer makes its batch longer. A long one without
            comment lines is held once.
        on_change: called with a rule and a number where a line was not taken as it stands:
            `comment-line` (skipped) and `decoded-as-latin-1` (text that is not UTF-8).

    Yields:
        Batches of `RAW_SCHEMA`: `id` is the first word of the header, `description` the rest, `line` the
        1-based line of the header. Records without letters are kept, with an empty sequence.

    Raises:
        ConfigError: there is no such file.
        DataError: naming file and line: text before the first header, or NUL bytes; naming the file: damaged
            compression.
    """
    if batch_bytes < 1:
        raise ValueError(f"batch_bytes is {batch_bytes}, at least 1 is needed")
    _keep_freed_blocks()
    line = 1
    with open_binary(path) as stream:
        for block in record_blocks(stream, batch_bytes, where=path):
            parse = _parse_long if len(block) > LONG and is_one_record(block) else _parse
            batch, lines = parse(block, line=line, where=path, count=on_change or _ignore)
            line += lines
            del block  # a long record should not be held while it is worked on, nor while the next is read
            parts = [batch.slice(start, MAX_ROWS) for start in range(0, batch.num_rows, MAX_ROWS)]
            is_long = batch.nbytes > LONG
            del batch  # a chromosome that gets other letters should not be held here, too
            while parts:
                yield parts.pop(0)
            if is_long:
                pa.default_memory_pool().release_unused()


def write_fasta(
    path: Path | str,
    ids: Iterable[str],
    sequences: Iterable[str],
    *,
    descriptions: Iterable[str] | None = None,
    width: int = 60,
) -> None:
    """Writes records atomically; a name ending in `.gz` is compressed, with bytes that do not depend on time.

    Args:
        path: the file to write.
        ids: one per record, not empty, without white space.
        sequences: letters without white space and without `>`.
        descriptions: one line each, may be empty; `None` for none at all.
        width: letters a line; 0 writes each sequence on one line.

    Raises:
        DataError: an id, description or sequence that would not be read back as it is, naming the record.
    """
    if width < 0:
        raise ValueError(f"width is {width}, allowed: 0 (no wrapping) or more")
    columns = (ids, sequences) if descriptions is None else (ids, sequences, descriptions)
    with atomic_path(Path(path)) as part, _output(part, compressed=str(path).endswith(".gz")) as out:
        for id, sequence, *rest in zip(*columns, strict=True):
            _check_record(id, sequence, *rest)
            header = f">{id} {rest[0]}" if rest and rest[0] else f">{id}"
            step = width or max(len(sequence), 1)
            lines = [sequence[i : i + step] for i in range(0, len(sequence), step)]
            out.write("\n".join([header, *lines, ""]).encode())


def _parse(block: Bytes, *, line: int, where: Path | str, count: Count) -> tuple[pa.RecordBatch, int]:
    """The records of a block whose first line has number `line`, and the number of its lines."""
    refuse_nul(block, line=line, where=where)
    starts, ends, first = _lines(block)
    n_lines = len(ends)
    headers = np.flatnonzero(first == HEADER)
    numbers = arrow(headers + line)
    comments = (first == _COMMENTS[0]) | (first == _COMMENTS[1]) | (first == _COMMENTS[2])
    if comments.any():
        count("comment-line", int(comments.sum()))
        block = _without(block, starts[comments], ends[comments] + 1)
        starts, ends, first = _lines(block)
        headers = np.flatnonzero(first == HEADER)
    is_ascii = block.isascii()
    texts, sequences = _headers_and_sequences(block, starts[headers], ends[headers], headers)
    headings, letters = _split_headers(texts, is_ascii), _letters(sequences, is_ascii)
    return _batch(headings, letters, numbers, count=count), n_lines


def _parse_long(text: bytearray, *, line: int, where: Path | str, count: Count) -> tuple[pa.RecordBatch, int]:
    """As `_parse`, for one record without comments; it becomes the buffer of the batch."""
    refuse_nul(text, line=line, where=where)
    header = bytes(text[: text.find(b"\n")])
    del text[: len(header)]  # moves nothing
    n_lines = join_lines(text)
    headings, letters = (
        _pieces(pa.large_binary(), np.array([0, len(data)]), data) for data in (header, text)
    )
    headings, letters = _split_headers(headings, header.isascii()), _letters(letters, text.isascii())
    return _batch(headings, letters, arrow(np.array([line])), count=count), n_lines


def _batch(
    headings: tuple[pa.Array, pa.Array, int], letters: tuple[pa.Array, int], lines: pa.Array, *, count: Count
) -> pa.RecordBatch:
    ids, descriptions, latin = headings
    sequences, more = letters
    if latin + more:
        count("decoded-as-latin-1", latin + more)
    empty = ("organism", "taxon_id", "features", "labels")
    nulls = [pa.nulls(len(ids), RAW_SCHEMA.field(name).type) for name in empty]
    return pa.record_batch([ids, sequences, descriptions, lines, *nulls], schema=RAW_SCHEMA)


def _lines(block: Bytes) -> tuple[Int64s, Int64s, npt.NDArray[np.uint8]]:
    """Start, end (its line feed) and first byte of every line; every line ends with a line feed."""
    data = np.frombuffer(block, np.uint8)
    steps = range(0, len(data), STEP)
    found = [np.flatnonzero(data[i : i + STEP] == _NEWLINE) + i for i in steps]
    ends = np.concatenate(found) if found else np.empty(0, np.int64)
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    return starts, ends, data[starts]


def _without(block: Bytes, starts: Int64s, ends: Int64s) -> bytes:
    view = memoryview(block)
    kept = zip([0, *ends.tolist()], [*starts.tolist(), len(block)])
    return b"".join(view[a:b] for a, b in kept)


def _headers_and_sequences(
    block: Bytes, starts: Int64s, ends: Int64s, lines: Int64s
) -> tuple[pa.Array, pa.Array]:
    """Header texts (with `>`) and sequences without line ends, as large_binary."""
    joined = block.replace(b"\n", b"")
    offsets = np.empty(2 * len(starts) + 1, np.int64)
    # each line before a position has lost one byte, its line feed
    offsets[:-1:2] = starts - lines
    offsets[1::2] = ends - lines
    offsets[-1] = len(joined)
    pieces = _pieces(pa.large_binary(), offsets, joined)
    even = np.arange(0, len(pieces), 2)
    texts = pieces.take(arrow(even))
    # a chromosome is not copied once more
    return texts, pieces.slice(1, 1) if len(texts) == 1 else pieces.take(arrow(even + 1))


def _pieces(kind: pa.DataType, offsets: npt.NDArray[np.integer], data: pa.Buffer | Bytes) -> pa.Array:
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _split_headers(texts: pa.Array, is_ascii: bool) -> tuple[pa.Array, pa.Array, int]:
    """Ids, descriptions, and how many headers were not UTF-8."""
    ends = _cut_positions(texts) if is_ascii and len(texts) else None
    if ends is None:
        return _split_headers_one_by_one(texts)
    offsets, data, word_ends = ends
    cuts = np.empty(4 * len(texts) + 1, np.int32)
    cuts[:-1:4] = offsets[:-1]  # '>'
    cuts[1::4] = offsets[:-1] + 1  # id
    cuts[2::4] = word_ends  # one blank
    cuts[3::4] = np.minimum(word_ends + 1, offsets[1:])  # description
    cuts[-1] = offsets[-1]
    pieces = _pieces(pa.binary(), cuts, data).view(pa.string())
    ids = np.arange(1, len(pieces), 4)
    return pieces.take(arrow(ids)), pieces.take(arrow(ids + 2)), 0


def _cut_positions(texts: pa.Array) -> tuple[Int64s, pa.Buffer, Int64s] | None:
    """Offsets, data and end of the first word of each header; None where blanks are not single ones."""
    offsets = np.frombuffer(texts.buffers()[1], np.int64, len(texts) + 1)
    buffer = texts.buffers()[2]
    data = np.frombuffer(buffer, np.uint8)
    blank = (data == 32) | (data == 9)
    blanks = np.append(np.flatnonzero(blank), len(data))
    word_ends = np.minimum(blanks[np.searchsorted(blanks, offsets[:-1])], offsets[1:])
    # a blank after '>', after the blank that ends the id, or at the end of the line
    suspects = (offsets[:-1] + 1, word_ends + 1, offsets[1:] - 1)
    if any(blank[np.minimum(at, offsets[1:] - 1)].any() for at in suspects):
        return None
    return offsets, buffer, word_ends


def _split_headers_one_by_one(texts: pa.Array) -> tuple[pa.Array, pa.Array, int]:
    ids, descriptions, latin = [], [], 0
    for header in texts.to_pylist():
        text, guessed = _decode(header[1:].strip(_BLANKS))
        id, *rest = re.split("[ \t]+", text, maxsplit=1)
        ids.append(id)
        descriptions.append(rest[0] if rest else "")
        latin += guessed
    return pa.array(ids, pa.string()), pa.array(descriptions, pa.string()), latin


def _letters(sequences: pa.Array, is_ascii: bool) -> tuple[pa.Array, int]:
    """Sequences as text, and how many were not UTF-8; bytes above 127 are perhaps in headers only."""
    if is_ascii:
        return sequences.view(pa.large_string()), 0
    decoded = [_decode(s) for s in sequences.to_pylist()]
    return pa.array([s for s, _ in decoded], pa.large_string()), sum(guessed for _, guessed in decoded)


def _decode(text: bytes) -> tuple[str, bool]:
    """The text, and whether it is not UTF-8 and was taken as latin-1, which never fails."""
    try:
        return text.decode(), False
    except UnicodeDecodeError:
        return text.decode("latin-1"), True


def _keep_freed_blocks() -> None:
    """Makes glibc keep freed blocks up to 32 MiB for the next batch instead of unmapping them.

    Its threshold rises to the largest mapped block freed so far (mallopt(3), M_MMAP_THRESHOLD), so one
    untouched block that is freed at once will do; page faults were half of the reader's time. No effect
    with another allocator.
    """
    np.empty((32 << 20) - (64 << 10), np.uint8)


def _ignore(rule: str, n: int) -> None:
    pass


@contextmanager
def _output(path: Path, *, compressed: bool) -> Iterator[BinaryIO]:
    with open(path, "wb") as plain:
        if not compressed:
            yield plain
            return
        with GzipFile(filename="", mode="wb", compresslevel=6, fileobj=plain, mtime=0) as packed:
            yield cast(BinaryIO, packed)


def _check_record(id: str, sequence: str, *description: str) -> None:
    if id.split() != [id]:
        raise DataError(f"id {id!r} is empty or has white space", hint="FASTA ids are one word")
    if any(len(text.splitlines()) > 1 or "\0" in text for text in description):
        raise DataError("the description has more than one line", where=id)
    if sequence.split() not in ([], [sequence]) or ">" in sequence or "\0" in sequence:
        raise DataError("the sequence has white space or '>'", where=id, hint="write letters only")
