"""Flat files (GenBank, EMBL) cut into records, and their annotation as Arrow columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from biodata.io.feature_table import Owner, TableColumns, read_tables
from biodata.io.features import FeatureColumn
from biodata.io.headers import Labels, label_column, source_labels
from biodata.io.limits import record_limit, too_long
from biodata.io.locations import hull, write_out_wraps
from biodata.io.raw import RAW_SCHEMA

Qualifiers = list[tuple[str, str]]
FeatureText = tuple[str, str, Qualifiers]  # key, location, qualifiers
Reread = Callable[[], list[FeatureText]]

_BLOCK = 1 << 20
_END = b"\n//"


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
    """One parsed record.

    Attributes:
        length: what its first line promises, `None` if it does not say.
        sequence: upper case, UTF-8.
        features: empty where they come as a table.
        table: features as `biodata.io.feature_layout.shorten` gives them.
        reread: reads them in another way should the table not be of the regular layout.
    """

    id: str
    description: str
    organism: str
    molecule: str
    circular: bool
    length: int | None
    sequence: bytes
    features: list[FeatureText]
    labels: Labels
    table: bytes | None = None
    reread: Reread | None = None


def split_records(stream: BinaryIO, *, where: object = None) -> Iterator[FlatText]:
    """Cuts a flat file at its `//` lines; text that is white space only is no record.

    Raises:
        DataError: a record above `biodata.io.limits.record_limit`, naming `where` and the line.
    """
    limit = record_limit()
    pending, line = bytearray(b"\n"), 1  # the line feed before the first line, so that each line has one
    at_end = False
    while not at_end:
        block = stream.read(_BLOCK)
        at_end = not block
        searched = max(len(pending) - len(_END), 0)
        pending += block
        begin = 1
        while (at := pending.find(_END, searched)) >= 0:
            end = pending.find(b"\n", at + len(_END))
            if end < 0 and not at_end:
                break  # the line may go on in the next block
            end = end + 1 or len(pending)
            text = bytes(memoryview(pending)[begin:end])
            yield from _record(text, line, ended=True)
            line += text.count(b"\n")
            begin, searched = end, end - 1
        del pending[: begin - 1]
        if len(pending) > limit:
            raise too_long("a record", where=f"{where}:{line}")
    yield from _record(bytes(pending[1:]), line, ended=False)


def _record(text: bytes, line: int, *, ended: bool) -> Iterator[FlatText]:
    if not text or text.isspace():
        return
    blank = len(text) - len(text.lstrip(b"\r\n"))
    line += text.count(b"\n", 0, blank)
    text = text[blank:].removeprefix(b"\xef\xbb\xbf")
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    try:
        if not text.isascii():
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
    """Collects records and gives them as a batch of `RAW_SCHEMA`.

    Features come in two ways: as a table of the regular layout, read for all records of the batch at once, or
    as the list that a record brings along.
    """

    def __init__(self) -> None:
        self.letters = self.table_bytes = 0
        self._records: list[FlatRecord] = []
        self._lines: list[int] = []
        self._features = FeatureColumn()
        self._listed: list[int] = []  # rows whose features are in `_features`
        self._tables: list[int] = []  # rows whose features are a table
        self._sources: dict[int, Qualifiers | None] = {}

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: FlatRecord, line: int) -> None:
        """Takes one record; ranges over the origin of a circular one are written as two parts."""
        row = len(self)
        self._records.append(record)
        self._lines.append(line)
        self.letters += len(record.sequence)
        if record.table is None:
            self._list(row, record.features)
        else:
            self._tables.append(row)
            self.table_bytes += len(record.table)

    def _list(self, row: int, features: list[FeatureText]) -> None:
        record = self._records[row]
        self._listed.append(row)
        self._sources[row] = next((pairs for kind, _, pairs in features if kind == "source"), None)
        for kind, location, qualifiers in features:
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
        features = self._feature_column()  # first, as it finds the sources
        found = [_of_source(r, self._sources[i]) for i, r in enumerate(self._records)]
        sequences = pa.array([r.sequence for r in self._records], pa.large_binary())
        columns = {
            "id": pa.array([r.id for r in self._records], pa.string()),
            "sequence": sequences.view(pa.large_string()),
            "description": pa.array([r.description for r in self._records], pa.string()),
            "line": pa.array(self._lines, pa.int64()),
            "organism": pa.array([organism for organism, _, _ in found], pa.string()),
            "taxon_id": pa.array([taxon for _, taxon, _ in found], pa.int64()),
            "features": features,
            "labels": label_column([labels for _, _, labels in found]),
        }
        return pa.record_batch([columns[name] for name in RAW_SCHEMA.names], schema=RAW_SCHEMA)

    def _feature_column(self) -> pa.Array:
        """Features of all rows in order, whichever way they came."""
        columns, odd = self._read_tables()
        while odd:
            for row in [self._tables[i] for i in odd]:
                self._tables.remove(row)
                reread = self._records[row].reread
                self._list(row, reread() if reread is not None else [])
            columns, odd = self._read_tables()
        listed = self._features.array()
        if columns is None:
            return _in_order(self._listed, listed)
        self._sources |= dict(zip(self._tables, columns.sources))
        if not self._listed:
            return columns.features
        return _in_order([*self._tables, *self._listed], pa.concat_arrays([columns.features, listed]))

    def _read_tables(self) -> tuple[TableColumns | None, list[int]]:
        records = [self._records[row] for row in self._tables]
        if not records:
            return None, []
        owners = [Owner(len(r.sequence), r.circular, r.molecule != "protein") for r in records]
        return read_tables([r.table or b"" for r in records], owners)


def _in_order(rows: list[int], column: pa.Array) -> pa.Array:
    """A column sorted by the numbers of its rows."""
    if rows == list(range(len(rows))):
        return column
    return column.take(pa.array(sorted(range(len(rows)), key=rows.__getitem__)))


def _of_source(record: FlatRecord, source: Qualifiers | None) -> tuple[str | None, int | None, Labels]:
    """Organism, taxon and labels by the `source` feature, else by the header."""
    qualifiers = source or []
    organism = next((v for k, v in qualifiers if k == "organism"), "") or record.organism or None
    taxon = next((v[6:] for k, v in qualifiers if k == "db_xref" and v.startswith("taxon:")), "")
    number = int(taxon) if re.fullmatch("[0-9]{1,18}", taxon) else None
    return organism, number, [*record.labels, *source_labels(qualifiers)]
