"""GenBank and EMBL flat files as Arrow batches.

GenBank records of the regular layout are read in bulk: the letters by one translation, the feature tables
of all records of a batch at once (`biodata.io.feature_table`). What deviates anywhere is read by gb-io,
record by record, and what that refuses (TSA and TLS masters, wrapped CONTIG lines) by Biopython's scanner,
which is counted. A record that none of them reads is dropped and counted; the rest of the file is kept.
gb-io's own view of locations is not used: it loses `order`, `one-of` and `a.b`, so locations are taken from
the text.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import gb_io
import pyarrow as pa
from Bio.GenBank.Scanner import EmblScanner, GenBankScanner

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.feature_layout import shorten
from biodata.io.flatfile import FeatureText, FlatRecord, FlatText, RawRows, one_line, split_records, unquote
from biodata.io.headers import embl_labels, genbank_labels
from biodata.io.streams import open_binary

BATCH_LETTERS = 16 << 20
BATCH_TABLES = 1 << 20  # bytes of feature tables; they stay in the cache between the passes over them
BATCH_ROWS = 4096

_FEATURE = re.compile(rb"^ {5}(\S+) +(\S[^\n]*(?:\n {21}(?! */)[^\n]*)*)", re.MULTILINE)
_WHOLE_FIELD = re.compile(rb"\b *([^\n]*(?:\n {12}[^\n]*)*)")
_FIRST_LINE = re.compile(rb"\b *([^\n]*)")
_LETTERS = bytes(i - 32 if 97 <= i <= 122 else i if 65 <= i <= 90 else 0 for i in range(256))
_NO_LETTERS = b" 0123456789\n"
_TAIL = 1 << 14  # bytes at the end of a feature table where other lines are looked for
_PARSE_ERRORS = (ValueError, AssertionError, IndexError, KeyError, StopIteration, RuntimeError)


def read_genbank(
    path: Path | str, *, log: RuleLog | None = None, alphabet: str | None = None
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Reads a GenBank or GenPept file of any compression, in order, in bounded memory.

    Sequences are given in upper case: the lower case of the format marks nothing. Features keep all
    qualifiers (a repeated key joined by `"; "`, a flag as `""`) and their `location` as written, except that
    a range over the origin of a circular record is written as two parts.

    Args:
        path: the file; plain, gzip, bgzip, bz2 or zstd.
        log: where records that are dropped and what was done to read others is counted. Without it, a
            record that cannot be read is an error.
        alphabet: `dna`, `rna` or `protein`: records of the other molecule are dropped (`wrong-molecule`).

    Yields:
        Batches of `RAW_SCHEMA`; `line` is that of the record's first line.

    Raises:
        ConfigError: there is no such file.
        DataError: a damaged file; without `log`, a record that cannot be read, naming file and line.
    """
    return _batches(Path(path), _parse_genbank, log, alphabet)


def read_embl(
    path: Path | str, *, log: RuleLog | None = None, alphabet: str | None = None
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Reads an EMBL file through Biopython's scanner; otherwise as `read_genbank`."""
    return _batches(Path(path), _parse_embl, log, alphabet)


Parse = Callable[[FlatText, RuleLog], FlatRecord]


class _Unreadable(Exception):
    """A record that must be dropped: reason, id, detail."""

    def __init__(self, reason: str, id: str, detail: str) -> None:
        self.reason, self.id, self.detail = reason, id, detail
        super().__init__(detail)


def _batches(path: Path, parse: Parse, log: RuleLog | None, alphabet: str | None) -> Iterator[pa.RecordBatch]:
    rows = RawRows()
    book = log if log is not None else RuleLog(file=path.name)
    with open_binary(path) as stream:
        for text in split_records(stream, where=path):
            try:
                record = parse(text, book)
                _check(record, text, book, alphabet)
            except _Unreadable as bad:
                if log is None:
                    raise DataError(f"{bad.reason}: {bad.detail}", where=f"{path}:{text.line}") from bad
                log.drop(bad.reason, bad.id, lines=text.line, detail=bad.detail)
                continue
            rows.add(record, text.line)
            del record, text
            full = rows.letters >= BATCH_LETTERS or rows.table_bytes >= BATCH_TABLES
            if full or len(rows) >= BATCH_ROWS:
                yield rows.batch()
                rows = RawRows()
    if len(rows):
        yield rows.batch()


def _check(record: FlatRecord, text: FlatText, log: RuleLog, alphabet: str | None) -> None:
    """Counts what is unusual about a record, or raises what drops it."""
    wanted = {"protein": ("protein",), None: ("protein", "nucleotide")}.get(alphabet, ("nucleotide",))
    if record.molecule not in wanted:
        detail = f"a {record.molecule} record, {alphabet} is wanted"
        raise _Unreadable("wrong-molecule", record.id, detail)
    if not record.sequence:
        raise _Unreadable("no-sequence", record.id, "the record has no letters (CONTIG, WGS or TSA master)")
    n = len(record.sequence)
    differs = record.length is not None and record.length != n
    detail = f"{n} letters, the first line says {record.length}"
    if differs and not text.ended:
        raise _Unreadable("truncated-record", record.id, f"{detail}, and there is no '//' line")
    if differs:
        log.change("length-differs-from-first-line", ids=record.id, lines=text.line, detail=detail)
    if not text.ended:
        log.change("no-end-line", ids=record.id, lines=text.line, detail="the last '//' line is missing")
    if text.latin:
        log.change("decoded-as-latin-1", ids=record.id, lines=text.line)


# --- GenBank


def _parse_genbank(flat: FlatText, log: RuleLog) -> FlatRecord:
    locus = re.search(rb"^LOCUS\b.*", flat.text, re.MULTILINE)
    if locus is None:
        shown = flat.text[:40].partition(b"\n")[0].decode("utf-8", "replace")
        raise _Unreadable("no-record", "", f"text without a LOCUS line: {shown!r}")
    text = flat.text[locus.start() :]
    header = text[: match.start()] if (match := re.search(rb"^FEATURES", text, re.MULTILINE)) else text
    line = locus[0].decode()
    name, length, unit = _locus_fields(line)
    version, accession = _field(header, b"VERSION"), _field(header, b"ACCESSION")
    id = next((words[0] for words in (version.split(), accession.split(), [name]) if words), "")
    record = FlatRecord(
        id=id or f"record-at-line-{flat.line}", description=_field(header, b"DEFINITION"),
        organism=_field(header, b"  ORGANISM", whole=False), circular="circular" in line.split(),
        molecule="protein" if unit == "aa" else "nucleotide", length=length,
        sequence=b"", features=[], labels=genbank_labels(line, header),
    )  # fmt: skip
    if (regular := _regular(text, len(header), length)) is not None:
        sequence, table = regular
        reread = partial(_reread, text, record.id, flat.line, log)
        return record._replace(sequence=sequence, table=table, reread=reread)
    sequence, features = _body(text, id, flat.line, log)
    return record._replace(sequence=sequence, features=features)


def _regular(text: bytes, features: int, length: int | None) -> tuple[bytes, bytes] | None:
    """Letters and shortened feature table; None unless all is as it should be.

    The letters must be as many as the first line says, which is what makes it safe to take them without
    looking at how they are arranged.
    """
    origin = text.find(b"\nORIGIN", features)
    begin, end = text.find(b"\n", origin + 1), text.rfind(b"\n//")
    if origin < 0 or not 0 <= begin <= end:
        return None
    letters = text[begin:end].translate(_LETTERS, _NO_LETTERS)
    if len(letters) != length or not letters or b"\0" in letters:
        return None
    lines = text[text.find(b"\n", features, origin + 1) : origin]
    tail = len(lines) - _TAIL
    ends = [at for key in (b"\nBASE COUNT", b"\nCONTIG") if (at := lines.find(key, max(tail, 0))) >= 0]
    table = shorten(lines[: min(ends, default=len(lines))])
    return None if table is None else (letters, table)


def _reread(text: bytes, id: str, line: int, log: RuleLog) -> list[FeatureText]:
    """The features of a record whose letters are known, in the other way."""
    try:
        return _body(text, id, line, log)[1]
    except _Unreadable as bad:
        log.change("features-unreadable", ids=id, lines=line, detail=str(bad))
        return []


def _locus_fields(line: str) -> tuple[str, int | None, str]:
    """Name, promised length and unit (`bp`, `aa`, `rc`), wherever the columns are."""
    if match := re.search(r"(?:^LOCUS\s+(\S+).*?|^LOCUS\s*)\s(\d+)\s+(bp|aa|rc)\b", line):
        length = None if match[3] == "rc" else int(match[2][:18])  # rc counts records
        return match[1] or "", length, match[3]
    return [*line.split(), ""][1], None, "bp"


def _field(header: bytes, key: bytes, *, whole: bool = True) -> str:
    """A header field on one line; only its first line if not `whole`. It is not on the first line."""
    begin = header.find(b"\n" + key)
    if begin < 0:
        return ""
    match = (_WHOLE_FIELD if whole else _FIRST_LINE).match(header, begin + 1 + len(key))
    value = " ".join(match[1].decode().split()) if match else ""
    return "" if value == "." else value


def _check_promise(text: bytes) -> None:
    """gb-io takes memory for the letters that are promised, up to 500 million, before it looks whether they
    are there, and ends the process where it gets none."""
    promised = _locus_fields(text.partition(b"\n")[0].decode())[1] or 0
    if promised > len(text) and b"\nORIGIN" in text:
        raise ValueError(f"the first line promises {promised} letters")


def _body(text: bytes, id: str, line: int, log: RuleLog) -> tuple[bytes, list[FeatureText]]:
    """Sequence and features, by gb-io if it can."""
    sequence = b""
    try:
        _check_promise(text)
        record = next(iter(gb_io.iter(io.BytesIO(text))))
        sequence = bytes(record.sequence).upper()
        locations = _locations(text)
        if not sequence and b"\nORIGIN" in text:
            why = "gb-io found no letters"
        elif len(locations) != len(record.features):
            why = f"gb-io found {len(record.features)} features, the text has {len(locations)}"
        else:
            return sequence, [
                (f.kind, where, [(q.key, one_line(q.key, q.value)) for q in f.qualifiers])
                for f, where in zip(record.features, locations)
            ]
    except (RuntimeError, ValueError, StopIteration, OSError) as error:
        why = f"gb-io: {' '.join(str(error).split())[:100]}"
    try:
        parsed = _scan(text, GenBankScanner, id, line, log)
    except _Unreadable as bad:
        if not sequence:
            raise
        log.change("features-unreadable", ids=id, lines=line, detail=f"{why}; Biopython: {bad}")
        return sequence, []
    log.change("parsed-by-biopython", ids=id, lines=line, detail=why)
    return parsed


def _locations(text: bytes) -> list[str]:
    """The location of every feature as written, without line breaks and blanks."""
    begin = re.search(rb"^FEATURES[^\n]*\n", text, re.MULTILINE)
    if begin is None:
        return []
    end = re.compile(rb"^\S", re.MULTILINE).search(text, begin.end())
    found = _FEATURE.finditer(text, begin.end(), end.start() if end else len(text))
    return ["".join(match[2].decode().split()) for match in found]


# --- Biopython's scanner


def _scan(text: bytes, scanner: type, id: str, line: int, log: RuleLog) -> tuple[bytes, list[FeatureText]]:
    """Sequence and features by Biopython; its warnings are counted and listed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reader = scanner()
            reader.set_handle(io.StringIO(text.decode()))
            reader.find_start()
            reader.parse_header()
            features = reader.parse_features()
            _, sequence = reader.parse_footer()
        except _PARSE_ERRORS as error:
            detail = " ".join(str(error).split())[:200] or type(error).__name__
            raise _Unreadable("unreadable-record", id, detail) from error
    for warning in caught:
        log.change("biopython-warning", ids=id, lines=line, detail=" ".join(str(warning.message).split()))
    parsed = [(k, "".join(where.split()), [(q, unquote(q, v)) for q, v in pairs])
              for k, where, pairs in features]  # fmt: skip
    return "".join(sequence.split()).upper().encode(), parsed


# --- EMBL


def _parse_embl(flat: FlatText, log: RuleLog) -> FlatRecord:
    text = flat.text.decode()
    first = re.search(r"^ID +(\S.*)", text, re.MULTILINE)
    if first is None:
        raise _Unreadable("no-record", "", f"text without an ID line: {text[:40].partition(chr(10))[0]!r}")
    head = first[1]
    name = re.split(r"[;\s]", head)[0]
    accession = (_embl_lines(text, "AC").split(";")[0] or name).strip()
    version = re.search(r"\bSV (\d+)", head)
    id = f"{accession}.{version[1]}" if version else _embl_lines(text, "SV") or accession
    size = re.search(r"(\d+) (BP|AA)\.", head)
    sequence, features = _scan(text[first.start() :].encode(), EmblScanner, id, flat.line, log)
    return FlatRecord(
        id=id, description=_embl_lines(text, "DE"), organism=_embl_lines(text, "OS"),
        molecule="protein" if size and size[2] == "AA" else "nucleotide",
        circular=bool(re.search(r"\bcircular\b", head)), length=int(size[1][:18]) if size else None,
        sequence=sequence, features=features, labels=embl_labels(text),
    )  # fmt: skip


def _embl_lines(text: str, key: str) -> str:
    return " ".join(" ".join(re.findall(rf"^{key}   (.*)", text, re.MULTILINE)).split())
