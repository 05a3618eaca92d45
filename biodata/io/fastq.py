"""FASTQ as a stream of Arrow batches; the qualities become one label, their mean."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.limits import record_limit, too_long
from biodata.io.nested import label_lists, raw_batch
from biodata.io.streams import open_binary

OFFSET = 33
"""Phred score 0 is the character of this code (Sanger and Illumina 1.8+; doi:10.1093/nar/gkp1137)."""
BATCH_BYTES = 4 << 20
_MOST_LINES = 4 * 65_536


def read_fastq(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Reads of a FASTQ file of any compression, records of four lines or wrapped ones.

    Args:
        path: the file.
        log: takes `decoded-as-latin-1` for headers that are not UTF-8.
        alphabet: ignored; FASTQ does not say what it holds.

    Yields:
        Batches of `RAW_SCHEMA`: `id` is the first word of the header, `description` the rest; the label
        `mean_quality` is the mean Phred score of the letters (0 to 93), none for records without letters.

    Raises:
        DataError: naming file and line: no `@`, no `+`, or other than one quality a letter.
    """
    del alphabet
    path = Path(path)
    log = log or RuleLog(file=path.name)
    with open_binary(path) as stream:
        line = 1
        while lines := _some_lines(stream):
            records, used, complete = _records(lines, line, path)
            if not complete:
                # a record may go on behind these lines: the rest is read record by record
                rest = itertools.chain(lines[used:], iter(stream.readline, b""))
                for group in _groups(_wrapped(rest, line + used, path)):
                    yield _batch([*records, *group], log)
                    records = []
                if records:
                    yield _batch(records, log)
                return
            line += len(lines)
            if records:
                yield _batch(records, log)


def _some_lines(stream: BinaryIO) -> list[bytes]:
    """About `BATCH_BYTES` of whole lines, a multiple of four unless the file ends."""
    lines = stream.readlines(BATCH_BYTES)
    while len(lines) % 4 and (line := stream.readline()):
        lines.append(line)
    return lines


_Record = tuple[int, bytes, bytes, bytes]


def _records(lines: list[bytes], first: int, path: Path) -> tuple[list[_Record], int, bool]:
    """Records of four lines each; the number of lines used, and whether all were records of four lines."""
    lines = [line.rstrip(b"\r\n") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    heads, letters, plus, quality = (lines[i::4] for i in range(4))
    fits = len(lines) % 4 == 0 and all(
        h[:1] == b"@" and p[:1] == b"+" and len(s) == len(q)
        for h, s, p, q in zip(heads, letters, plus, quality)
    )
    if not fits:
        return [], 0, False
    numbers = range(first, first + len(lines), 4)
    return list(zip(numbers, heads, letters, quality)), len(lines), True


def _wrapped(lines: Iterator[bytes], number: int, path: Path) -> Iterator[_Record]:
    """Records whose letters and qualities may take several lines, as Sanger's own files did."""
    line, limit = next(lines, b""), record_limit()
    while line:
        start, head = number, line.rstrip(b"\r\n")
        if not head:
            line, number = next(lines, b""), number + 1
            continue
        if not head.startswith(b"@"):
            raise DataError(
                f"'@' expected, found {_shown(head)}", where=f"{path}:{number}", hint="is this FASTQ?"
            )
        letters, quality, size = [], [], 0
        line, number = next(lines, b""), number + 1
        while line and not line.startswith(b"+"):
            letters.append(line.strip())
            size += len(line)
            if size > limit:
                raise too_long("a record", where=f"{path}:{start}")
            line, number = next(lines, b""), number + 1
        if not line:
            raise DataError(
                "the file ends before '+'", where=f"{path}:{start}", hint="the file is incomplete"
            )
        again = line.rstrip(b"\r\n")[1:]
        if again and again != head[1:]:
            raise DataError(f"'+' is followed by {_shown(again)}, not by the name", where=f"{path}:{number}")
        wanted, found = sum(map(len, letters)), 0
        line, number = next(lines, b""), number + 1
        while line and (found < wanted or not (quality or line.startswith(b"@"))):
            quality.append(line.strip())
            found += len(quality[-1])
            line, number = next(lines, b""), number + 1
        if found != wanted:
            raise DataError(f"{wanted} letters with {found} qualities in {_shown(head[1:])}",
                            where=f"{path}:{start}", hint="the file is damaged or incomplete")  # fmt: skip
        yield start, head, b"".join(letters), b"".join(quality)


def _groups(records: Iterator[_Record]) -> Iterator[list[_Record]]:
    group: list[_Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += len(record[1]) + 2 * len(record[2])
        if size >= BATCH_BYTES or len(group) >= _MOST_LINES // 4:
            yield group
            group, size = [], 0
    if group:
        yield group


def _batch(records: list[_Record], log: RuleLog) -> pa.RecordBatch:
    numbers, heads, letters, qualities = zip(*records)
    names = [_text(head[1:], log).split(None, 1) or [""] for head in heads]
    ids = pa.array([name[0] for name in names])
    descriptions = pa.array([name[1].strip() if len(name) > 1 else "" for name in names])
    sizes = np.array([len(q) for q in qualities], np.int64)
    scores = np.frombuffer(b"".join(qualities), np.uint8).astype(np.int64)
    _check_scores(scores, sizes, numbers, log.file)
    total = np.concatenate([[0], np.cumsum(scores - OFFSET)])
    ends = np.cumsum(sizes)
    with np.errstate(invalid="ignore"):
        means = (total[ends] - total[ends - sizes]) / sizes
    column = pa.array([_text(s, log) for s in letters], pa.large_string())
    labels = label_lists(len(records), [("mean_quality", pl.Series(means).fill_nan(None))])
    return raw_batch({"id": ids, "sequence": column, "description": descriptions,
                      "line": np.array(numbers, np.int64), "labels": labels})  # fmt: skip


def _check_scores(scores: np.ndarray, sizes: np.ndarray, numbers: tuple[int, ...], file: str) -> None:
    wrong = np.flatnonzero((scores < OFFSET) | (scores > 126))
    if len(wrong):
        record = int(np.searchsorted(np.cumsum(sizes), wrong[0], side="right"))
        raise DataError(f"quality character {chr(scores[wrong[0]])!r}", where=f"{file}:{numbers[record]}",
                        hint="allowed: '!' to '~'")  # fmt: skip


def _text(text: bytes, log: RuleLog) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        log.change("decoded-as-latin-1", 1)
        return text.decode("latin-1")


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("utf-8", "replace"))
