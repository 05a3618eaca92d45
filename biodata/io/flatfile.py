"""Flat files (GenBank, EMBL) cut into records, and their annotation as Arrow columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from biodata.io.features import FeatureColumn
from biodata.io.headers import Labels, label_column, source_labels
from biodata.io.locations import hull, write_out_wraps
from biodata.io.raw import RAW_SCHEMA

Qualifiers = list[tuple[str, str]]
FeatureText = tuple[str, str, Qualifiers]  # key, location, qualifiers

_BLOCK = 1 << 20
_LINE_FEED = 10
_END = re.compile(rb"//[^\n]*(?:\n|\Z)")  # at the start of a line only; `^` would be slower


class FlatText(NamedTuple):
    """The text of one record.

    Attributes:
        text: UTF-8, with LF line ends, `//` line included.
        line: 1-based number of its first line in the decompressed file.
        ended: whether the `//` line is there.
        latin: whether it was not UTF-8 and was taken as latin-1.
    """

    text: bytes
    line: int
    ended: bool
    latin: bool


class FlatRecord(NamedTuple):
    """One parsed record; `length` is what its first line promises, `None` if it does not say."""

    id: str
    description: str
    organism: str
    molecule: str
    circular: bool
    length: int | None
    sequence: str
    features: list[FeatureText]
    labels: Labels


def split_records(stream: BinaryIO) -> Iterator[FlatText]:
    """Cuts a flat file at its `//` lines; text that is white space only is no record."""
    pending, line = bytearray(), 1
    at_end = False
    while not at_end:
        block = stream.read(_BLOCK)
        at_end = not block
        searched = pending.rfind(b"\n") + 1
        pending += block
        begin = 0
        for match in _END.finditer(pending, searched):
            if match.start() and pending[match.start() - 1] != _LINE_FEED:
                continue  # an address, say
            if not at_end and not match[0].endswith(b"\n"):
                break  # the line may go on in the next block
            text = bytes(pending[begin : match.end()])
            yield from _record(text, line, ended=True)
            line += text.count(b"\n")
            begin = match.end()
        del pending[:begin]
    yield from _record(bytes(pending), line, ended=False)


def _record(text: bytes, line: int, *, ended: bool) -> Iterator[FlatText]:
    if not text.strip():
        return
    blank = len(text) - len(text.lstrip(b"\r\n"))
    line += text.count(b"\n", 0, blank)
    text = text[blank:].removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        text.decode()
        yield FlatText(text, line, ended, False)
    except UnicodeDecodeError:
        yield FlatText(text.decode("latin-1").encode(), line, ended, True)


def unquote(key: str, value: str | None) -> str:
    """The value of a qualifier as written in the file, on one line and without its quotation marks."""
    if value and len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('""', '"')
    return one_line(key, value)


def one_line(key: str, value: str | None) -> str:
    """The value of a qualifier on one line; `""` for a flag; a translation without blanks."""
    words = (value or "").split()
    return "".join(words) if key == "translation" else " ".join(words)


class RawRows:
    """Collects records and gives them as a batch of `RAW_SCHEMA`, without dictionaries on the way."""

    def __init__(self) -> None:
        self.letters = 0
        self._rows: list[tuple[str, str, str, int, str | None, int | None]] = []
        self._labels: list[Labels] = []
        self._features = FeatureColumn()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, record: FlatRecord, line: int) -> None:
        """Takes one record; ranges over the origin of a circular one are written as two parts."""
        organism, taxon, labels = _source(record)
        self._labels.append([*record.labels, *labels])
        self._rows.append((record.id, record.sequence, record.description, line, organism, taxon))
        self.letters += len(record.sequence)
        for kind, location, qualifiers in record.features:
            if record.circular:
                location = write_out_wraps(location, len(record.sequence))
            start, end, strand = hull(location)
            attributes: dict[str, str] = {"location": location}
            for key, value in qualifiers:
                attributes[key] = f"{attributes[key]}; {value}" if key in attributes else value
            span = (start, end, 0 if record.molecule == "protein" else strand)
            self._features.add(kind, span, attributes)
        self._features.end_row()

    def batch(self) -> pa.RecordBatch:
        """The rows collected so far."""
        columns = list(zip(*self._rows)) or [[]] * 6
        names = ("id", "sequence", "description", "line", "organism", "taxon_id")
        arrays = [pa.array(c, RAW_SCHEMA.field(name).type) for c, name in zip(columns, names)]
        return pa.record_batch(
            [*arrays, self._features.array(), label_column(self._labels)], schema=RAW_SCHEMA
        )


def _source(record: FlatRecord) -> tuple[str | None, int | None, Labels]:
    """Organism, taxon and labels of the `source` feature, else of the header."""
    for kind, _, qualifiers in record.features:
        if kind == "source":
            values = dict(reversed(qualifiers))  # the first of a repeated key counts
            taxa = [v[6:] for k, v in qualifiers if k == "db_xref" and v.startswith("taxon:")]
            number = int(taxa[0]) if taxa and taxa[0].isdigit() else None
            organism = values.get("organism") or record.organism or None
            return organism, number, source_labels(qualifiers)
    return record.organism or None, None, []
