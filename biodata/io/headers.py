"""What the header of a flat-file record says beyond its name: labels of the raw table.

| label | GenBank | EMBL |
|---|---|---|
| lineage | lines after ORGANISM | OC |
| division | LOCUS | ID |
| date | LOCUS, last change | DT, last one |
| pubmed | PUBMED of the references, `; ` between them | RX PUBMED |
| host, collection_date | qualifiers of the `source` feature | the same |

Dates are ISO 8601 (`2018-08-13`); a lineage runs from the root down, `; ` between its names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from biodata.schema import LABEL_TYPE

Labels = list[tuple[str, str]]

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DATE = re.compile(r"\b(\d{1,2})-([A-Z]{3})-(\d{4})\b")
_ORGANISM = re.compile(rb"^  ORGANISM\b[^\n]*((?:\n {12}[^\n]*)*)", re.MULTILINE)
_PUBMED = re.compile(rb"^\s{1,5}PUBMED +(\d+)", re.MULTILINE)
_DIVISION = re.compile(r"\s([A-Z]{3})\s+\d{1,2}-[A-Z]{3}-\d{4}\s*$")
_EMBL_DIVISION = re.compile(r";\s*([A-Z]{3});\s*\d+ (?:BP|AA)")
_FROM_SOURCE = {"host": "host", "specific_host": "host", "lab_host": "lab_host",
                "collection_date": "collection_date"}  # fmt: skip


def genbank_labels(locus: str, header: bytes) -> Labels:
    """Labels of a GenBank record.

    Args:
        locus: its LOCUS line.
        header: the text before FEATURES.

    >>> genbank_labels("LOCUS  X 9 bp DNA linear VRL 13-AUG-2018",
    ...                b"  ORGANISM  Some virus\\n            Viruses; Riboviria.\\n")
    [('lineage', 'Viruses; Riboviria'), ('division', 'VRL'), ('date', '2018-08-13')]
    """
    organism = _ORGANISM.search(header)
    division = _DIVISION.search(locus)
    return _given(
        lineage=_lineage(organism[1].decode().splitlines()) if organism else "",
        division=division[1] if division else "",
        date=_iso_date(locus),
        pubmed="; ".join(dict.fromkeys(n.decode() for n in _PUBMED.findall(header))),
    )


def embl_labels(text: str) -> Labels:
    """Labels of an EMBL record, given as its whole text."""
    first = re.search(r"^ID .*", text, re.MULTILINE)
    division = _EMBL_DIVISION.search(first[0]) if first else None
    dates = re.findall(r"^DT   (.*)", text, re.MULTILINE)
    pubmed = re.findall(r"^RX   PUBMED; (\d+)", text, re.MULTILINE)
    return _given(
        lineage=_lineage(re.findall(r"^OC   (.*)", text, re.MULTILINE)),
        division=division[1] if division else "",
        date=_iso_date(dates[-1]) if dates else "",
        pubmed="; ".join(dict.fromkeys(pubmed)),
    )


def source_labels(qualifiers: Sequence[tuple[str, str]]) -> Labels:
    """Host and collection date of a `source` feature; the first of a repeated qualifier counts."""
    found: dict[str, str] = {}
    for key, value in qualifiers:
        if key in _FROM_SOURCE and value:
            found.setdefault(_FROM_SOURCE[key], value)
    return [(name, found[name]) for name in sorted(found)]


def label_column(rows: Iterable[Labels]) -> pa.Array:
    """A column of text labels; null where a row has none."""
    return pa.array(
        [[{"name": k, "value": None, "text": v} for k, v in row] or None for row in rows],
        pa.list_(LABEL_TYPE),
    )


def _given(**labels: str) -> Labels:
    return [(name, value) for name, value in labels.items() if value]


def _lineage(lines: list[str]) -> str:
    """The lineage in the lines after the organism's name, which may go on for a line itself."""
    words = [" ".join(line.split()) for line in lines]
    begin = next((i for i, line in enumerate(words) if ";" in line or line.endswith(".")), len(words))
    names = [name.strip() for name in " ".join(words[begin:]).removesuffix(".").split(";")]
    return "; ".join(name for name in names if name)


def _iso_date(text: str) -> str:
    match = _DATE.search(text)
    if match is None or match[2] not in _MONTHS:
        return ""
    return f"{match[3]}-{_MONTHS.index(match[2]) + 1:02d}-{int(match[1]):02d}"
