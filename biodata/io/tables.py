"""Text tables (CSV, TSV) streamed as frames of strings with the line number of every row.

pyarrow's reader splits the rows; the header, and in data units of OAS the line of metadata before it, are
read beforehand with `csv`, which knows quoted fields that hold line ends.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.read_config import ReadConfig

BLOCK = 8 << 20
"""Bytes that are parsed at once."""
LONGEST = 256 << 20
"""Bytes of the longest row that can be read."""
MAX_ROWS = 65_536

Lines: TypeAlias = npt.NDArray[np.int64]
_BOM = "\ufeff"
_MOST_HEADER = 1 << 20  # bytes


def config_for(alphabet: str | None) -> ReadConfig:
    """What is read where nothing but an alphabet is said; `dna` where not even that is."""
    return ReadConfig(alphabet=cast(Any, alphabet or "dna"))


@dataclass(frozen=True, slots=True)
class Header:
    """Names of the columns, how they are separated, and the number of lines read so far."""

    names: tuple[str, ...]
    separator: str
    lines: int
    metadata: str = ""

    def require(self, names: Sequence[str], *, where: Path, hint: str) -> str:
        """The first of the names that is a column.

        Args:
            names: in order of preference, spelt as in the file.
            where: file, for the message.
            hint: what to do when there is none.

        Raises:
            DataError: none is; lists the columns there are.
        """
        for name in names:
            if name in self.names:
                return name
        shown = ", ".join(self.names[:12]) + (
            f" and {len(self.names) - 12} more" if len(self.names) > 12 else ""
        )
        raise DataError(f"no column {' or '.join(map(repr, names))}; its columns are {shown}",
                        where=where, hint=hint)  # fmt: skip


def separator_of(line: str) -> str:
    """The separator of a header line: a tab if it has one, else a semicolon if it has no comma, else a comma.

    >>> separator_of("a\\tb,c"), separator_of("a;b"), separator_of("smiles")
    ('\\t', ';', ',')
    """
    if "\t" in line:
        return "\t"
    return ";" if ";" in line and "," not in line else ","


def read_header(stream: BinaryIO, *, where: Path, metadata: bool = False) -> Header:
    """Reads the header line, and before it one field of metadata if asked.

    Args:
        stream: uncompressed bytes, at their beginning.
        where: file, for messages.
        metadata: a line before the header holds one quoted field (OAS).

    Raises:
        DataError: no header, an empty or repeated name, or bytes that are not UTF-8.
    """
    lines = _text_lines(stream, where)
    before, count = "", 0
    if metadata:
        reader = csv.reader(lines)
        with _as_header_error(where):
            row = next(reader, [""])
        before, count = row[0] if len(row) == 1 else ",".join(row), reader.line_num
    first = next(lines, "")
    while first and not first.strip():
        first, count = next(lines, ""), count + 1
    separator = separator_of(first)
    with _as_header_error(f"{where}:{count + 1}"):
        names = next(csv.reader([first.rstrip("\r\n")], delimiter=separator), [])
    names = [name.strip() for name in names]
    count += 1
    if "\0" in first:
        raise DataError("NUL bytes", where=f"{where}:{count}", hint="this is no text table")
    if not any(names):
        hint = "there are metadata only: the data unit is incomplete" if metadata else "columns need names"
        raise DataError("no header line", where=f"{where}:{count}", hint=hint)
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise DataError(f"column {twice!r} is there more than once", where=f"{where}:{count}")
    # the index that pandas writes has no name
    names = [name or f"column-{number}" for number, name in enumerate(names, 1)]
    return Header(tuple(names), separator, count, before)


@contextmanager
def _as_header_error(where: object) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise DataError(f"the header cannot be read: {error}", where=where) from error


def read_rows(
    stream: BinaryIO, header: Header, *, where: Path, log: RuleLog, columns: Sequence[str] = (),
    nulls: Sequence[str] = ("",),
) -> Iterator[tuple[pl.DataFrame, Lines]]:  # fmt: skip
    """The rows behind the header, as strings, in order, in bounded memory.

    Args:
        stream: behind the header.
        header: as `read_header` gave it.
        where: the file, for messages.
        log: takes `wrong-number-of-columns` (dropped and listed) and `blank-line`.
        columns: columns wanted; all where empty.
        nulls: texts that mean no value.

    Yields:
        A frame with the wanted columns, and the 1-based line of each row (rows of one line each).

    Raises:
        DataError: text that is not UTF-8, or a row that is longer than `LONGEST`.
    """
    parse = _parser(header, columns or header.names, tuple(nulls))
    line = header.lines + 1
    for block in _blocks(stream, where):
        _check_text(block, line, where)
        batch, bad = _parsed(parse, block, where)
        lines = _line_numbers(line, batch.num_rows, bad)
        for start in range(0, batch.num_rows, MAX_ROWS):
            frame = pl.DataFrame(batch.slice(start, MAX_ROWS))
            blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
            if blank.any():
                log.change("blank-line", int(blank.sum()))
                frame = frame.filter(~blank)
            yield frame, lines[start : start + MAX_ROWS][~blank.to_numpy()]
        _log_bad(bad, line, log)
        line += batch.num_rows + len(bad)


def _text_lines(stream: BinaryIO, where: Path) -> Iterator[str]:
    number = 0
    while line := stream.readline(_MOST_HEADER):
        number += 1
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8 text: {error.reason}", where=f"{where}:{number}") from error
        yield text.removeprefix(_BOM) if number == 1 else text


Bad: TypeAlias = "list[tuple[int, str]]"
"""Number of a line in its block, from 1, and what is wrong with it."""
Parse: TypeAlias = "Callable[[bytes, Bad], pa.Table]"


def _blocks(stream: BinaryIO, where: Path) -> Iterator[bytes]:
    """Whole lines, about `BLOCK` bytes at a time.

    pyarrow's own streaming reader reads ahead up to 32 blocks, which is no bounded memory.
    """
    rest = b""
    while block := stream.read(BLOCK):
        whole, end, after = block.rpartition(b"\n")
        if end:
            yield rest + whole + end
            rest = after
        elif len(rest) + len(block) > LONGEST:
            raise DataError(
                f"a row is longer than {LONGEST >> 20} MiB", where=where, hint="give FASTA instead"
            )
        else:
            rest += block
    if rest:
        yield rest


def _parser(header: Header, columns: Sequence[str], nulls: tuple[str, ...]) -> Parse:
    convert = pc.ConvertOptions(
        column_types=dict.fromkeys(header.names, pa.string()), include_columns=list(columns),
        strings_can_be_null=True, null_values=list(nulls),
    )  # fmt: skip

    def parse(block: bytes, bad: Bad) -> pa.Table:
        def remember(row: pc.InvalidRow) -> str:
            what = f"{row.actual_columns} columns, expected {row.expected_columns}"
            bad.append((row.number or 0, sys.intern(what)))  # there may be millions
            return "skip"

        return pc.read_csv(
            pa.BufferReader(block),
            read_options=pc.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=list(header.names)
            ),
            parse_options=pc.ParseOptions(
                delimiter=header.separator, invalid_row_handler=remember, ignore_empty_lines=False
            ),
            convert_options=convert,
        )

    return parse


def _check_text(block: bytes, first: int, where: Path) -> None:
    """Refuses text that is not UTF-8, with its line; pyarrow would write to stderr about it."""
    try:
        if not block.isascii():
            block.decode()
    except UnicodeDecodeError as error:
        line = first + block.count(b"\n", 0, error.start)
        raise DataError(f"not UTF-8 text: {error.reason}", where=f"{where}:{line}") from error


def _parsed(parse: Parse, block: bytes, where: Path) -> tuple[pa.Table, Bad]:
    bad: Bad = []
    try:
        return parse(block, bad), bad
    except pa.ArrowInvalid as error:
        what = str(error).splitlines()[0]
        raise DataError(what, where=where, hint="a table of one row a line in UTF-8 is needed") from error


def has_more(stream: BinaryIO) -> bool:
    """Whether a stream of `open_binary` is not at its end."""
    return bool(stream.peek(1))  # pyright: ignore[reportAttributeAccessIssue]  # a BufferedReader


def _line_numbers(first: int, n: int, bad: Bad) -> Lines:
    """Lines of the rows of a block that begins with line `first`."""
    rows = np.arange(n)
    earlier = np.array([number for number, _ in bad], np.int64) - 1 - np.arange(len(bad))
    return first + rows + np.searchsorted(earlier, rows, side="right")


def _log_bad(bad: Bad, first: int, log: RuleLog) -> None:
    if bad:
        lines, details = [first + number - 1 for number, _ in bad], [text for _, text in bad]
        log.drop("wrong-number-of-columns", [None] * len(bad), lines=lines, detail=details)
