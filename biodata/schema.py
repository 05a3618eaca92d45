"""THE typed sequence schema, shared by biodata, biotrain and bioeval, and its row view `BioSequence`.

Every table that passes between the packages has `SCHEMA`. Bulk work stays columnar; `BioSequence` is for
people and for code that handles one record. Coordinates are 0-based and half-open everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from biodata.alphabet import get_alphabet
from biodata.errors import DataError

SCHEMA_VERSION = "2"
SPLITS = ("train", "validation", "test")

ATTRIBUTE_TYPE = pa.struct([pa.field("key", pa.string()), pa.field("value", pa.string())])
FEATURE_TYPE = pa.struct(
    [
        pa.field("type", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("strand", pa.int8()),
        pa.field("attributes", pa.list_(ATTRIBUTE_TYPE)),
    ]
)
LABEL_TYPE = pa.struct(
    [pa.field("name", pa.string()), pa.field("value", pa.float64()), pa.field("text", pa.string())]
)

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.large_string(), nullable=False),
        pa.field("alphabet", pa.string(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("taxon_id", pa.int64()),
        pa.field("organism", pa.string()),
        pa.field("cluster", pa.int64()),
        pa.field("split", pa.string()),
        pa.field("checksum", pa.string(), nullable=False),
        pa.field("features", pa.list_(FEATURE_TYPE)),
        pa.field("labels", pa.list_(LABEL_TYPE)),
        # where a row was cut from: id of the record, 0-based half-open interval on it, strand 1 or -1
        pa.field("parent", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("strand", pa.int8()),
        # what is said about the sequence, for pairs of sequence and text
        pa.field("text", pa.large_string()),
    ],
    metadata={"seqloom.schema_version": SCHEMA_VERSION},
)


def checksum(sequence: str | bytes) -> str:
    """The first 128 bits of SHA-256 of a sequence as it stands, 32 hexadecimal digits.

    >>> checksum("ACGT") == hashlib.sha256(b"ACGT").hexdigest()[:32]
    True
    """
    data = sequence.encode() if isinstance(sequence, str) else sequence
    return hashlib.sha256(data).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """An annotated interval of a sequence.

    Attributes:
        type: feature key, for example `CDS`.
        start: 0-based first position.
        end: position after the last (half-open).
        strand: 1, -1 or 0 (not stranded).
        attributes: qualifiers; repeated keys are joined by the reader with `"; "`.
    """

    type: str
    start: int
    end: int
    strand: int = 0
    attributes: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise DataError(f"feature {self.type!r} has start {self.start}, end {self.end}")
        if self.strand not in (-1, 0, 1):
            raise DataError(f"feature {self.type!r} has strand {self.strand}, allowed: -1, 0, 1")

    def as_row(self) -> dict[str, Any]:
        pairs = [{"key": k, "value": v} for k, v in (self.attributes or {}).items()]
        return {"type": self.type, "start": self.start, "end": self.end, "strand": self.strand,
                "attributes": pairs}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BioSequence:
    """One validated record: the row view of `SCHEMA`.

    Attributes:
        id: not empty, unique within a dataset.
        sequence: symbols of `alphabet`, upper case, ambiguity codes allowed.
        alphabet: `dna`, `rna`, `protein` or `selfies`.
        labels: measured properties by name, numbers or texts.
        parent: id of the record that the sequence was cut from, with `start`, `end` (0-based, half-open) and
            `strand` (1 or -1) on it.
        text: what is said about the sequence.

    Raises:
        DataError: naming the record and the symbols that are not allowed.

    >>> s = BioSequence(id="x", sequence="ATGTAA", alphabet="dna", labels={"stability": 0.5})
    >>> s.length, s.as_row()["checksum"] == s.checksum
    (6, True)
    >>> BioSequence.from_row(s.as_row()) == s
    True
    """

    id: str
    sequence: str
    alphabet: str
    source: str = ""
    description: str = ""
    taxon_id: int | None = None
    organism: str | None = None
    cluster: int | None = None
    split: str | None = None
    features: tuple[Feature, ...] = ()
    labels: Mapping[str, float | str] | None = None
    parent: str | None = None
    start: int | None = None
    end: int | None = None
    strand: int | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a record has an empty id", where=self.source or None)
        wrong = get_alphabet(self.alphabet).invalid_symbols(self.sequence)
        if wrong:
            shown = ", ".join(repr(s) for s in sorted(wrong)[:5])
            raise DataError(f"symbols {shown} are not in alphabet {self.alphabet!r}", where=self.id)
        if self.split is not None and self.split not in SPLITS:
            raise DataError(f"split {self.split!r}, allowed: {', '.join(SPLITS)}", where=self.id)

    @property
    def length(self) -> int:
        """Number of letters (characters for selfies)."""
        return len(self.sequence)

    @property
    def checksum(self) -> str:
        """`checksum` of the sequence."""
        return checksum(self.sequence)

    def as_row(self) -> dict[str, Any]:
        """The record as a row of `SCHEMA`."""
        return {
            "id": self.id, "sequence": self.sequence, "alphabet": self.alphabet, "length": self.length,
            "source": self.source, "description": self.description, "taxon_id": self.taxon_id,
            "organism": self.organism, "cluster": self.cluster, "split": self.split,
            "checksum": self.checksum, "features": [f.as_row() for f in self.features],
            "labels": [_label_row(k, v) for k, v in (self.labels or {}).items()],
            "parent": self.parent, "start": self.start, "end": self.end, "strand": self.strand,
            "text": self.text,
        }  # fmt: skip

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> BioSequence:
        """The record of a row of `SCHEMA`; `length` and `checksum` are computed anew."""
        features = tuple(
            Feature(
                type=f["type"], start=f["start"], end=f["end"], strand=f["strand"],
                attributes={a["key"]: a["value"] for a in f["attributes"] or []} or None,
            )
            for f in row.get("features") or []
        )  # fmt: skip
        labels = {x["name"]: x["text"] if x["value"] is None else x["value"] for x in row.get("labels") or []}
        names = ("id", "sequence", "alphabet", "source", "description", "taxon_id", "organism", "cluster",
                 "split", "parent", "start", "end", "strand", "text")  # fmt: skip
        kept = {name: row[name] for name in names if name in row}
        return cls(features=features, labels=labels or None, **kept)


def _label_row(name: str, value: float | str) -> dict[str, Any]:
    text = value if isinstance(value, str) else None
    return {"name": name, "value": None if text is not None else float(value), "text": text}


def table_from_records(records: list[BioSequence]) -> pa.Table:
    """A table of `SCHEMA` from records (for small inputs and tests)."""
    return pa.Table.from_pylist([r.as_row() for r in records], schema=SCHEMA)
