"""Pairs of sequence and text as documents for training, with explicit boundaries.

    <text>definition: ...\\norganism: ...</text><dna>ACGT...</dna>

The markers are symbols of the `joint` tokenizer. Windows of one parent that follow one another make one
document of alternating texts and sequences while it stays under a length; a text that is the same as the one
before it is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from biodata.errors import ConfigError

_TAGS = {"text": "text", "dna": "dna", "rna": "dna", "protein": "protein"}
MARKERS = {kind: (f"<{tag}>", f"</{tag}>") for kind, tag in _TAGS.items()}
"""Opening and closing marker by what stands between them; RNA has those of DNA, as in the tokenizer."""
_NEEDED = ("id", "sequence", "alphabet", "text", "parent", "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterleaveConfig:
    """How pairs become documents.

    >>> InterleaveConfig(order="reverse")
    Traceback (most recent call last):
    biodata.errors.ConfigError: order is 'reverse', allowed: text-first, sequence-first, both
    """

    order: Literal["text-first", "sequence-first", "both"] = field(
        default="both", metadata={"help": "what comes first; both: one or the other, by the seed"}
    )
    without_text: Literal["keep", "drop"] = field(
        default="keep", metadata={"help": "rows without text: sequence alone, or left out"}
    )
    max_document: int = field(
        default=0, metadata={"help": "most characters of a document of several windows; 0: one row each"}
    )
    seed: int = field(default=0, metadata={"help": "decides the order of each document, 0 or more"})

    def __post_init__(self) -> None:
        if self.order not in ("text-first", "sequence-first", "both"):
            raise ConfigError(f"order is {self.order!r}, allowed: text-first, sequence-first, both")
        if self.without_text not in ("keep", "drop"):
            raise ConfigError(f"without_text is {self.without_text!r}, allowed: keep, drop")
        for name in ("max_document", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: 0 or more")


@dataclass(frozen=True, slots=True)
class Document:
    """One document: ids of its rows, and its text with markers."""

    ids: tuple[str, ...]
    text: str


def marked(kind: str, content: str) -> str:
    """Content between its markers; markers inside a text lose their brackets.

    >>> marked("dna", "ACGT"), marked("text", "a <dna> b")
    ('<dna>ACGT</dna>', '<text>a dna b</text>')
    """
    if kind not in MARKERS:
        raise ConfigError(f"alphabet {kind!r} has no markers, allowed: {', '.join(MARKERS)}")
    opening, closing = MARKERS[kind]
    if kind == "text":
        for marker in (m for pair in MARKERS.values() for m in pair if m in content):
            content = content.replace(marker, marker.strip("</>"))
    return f"{opening}{content}{closing}"


def interleaved(table: pa.Table, config: InterleaveConfig | None = None) -> Iterator[Document]:
    """The documents of the rows of a dataset, in order.

    Args:
        table: rows of `SCHEMA`, at least id, sequence, alphabet, text, parent, start.
        config: order, length, seed. Which part comes first depends on the seed and the first id only.

    Raises:
        ConfigError: a column is missing, or an alphabet that the joint tokenizer does not read.

    >>> table = pa.table({"id": ["a"], "sequence": ["ACGT"], "alphabet": ["dna"], "text": ["gene: x"],
    ...                   "parent": pa.nulls(1, pa.string()), "start": pa.nulls(1, pa.int64())})
    >>> [d.text for d in interleaved(table, InterleaveConfig(order="text-first"))]
    ['<text>gene: x</text><dna>ACGT</dna>']
    """
    config = config or InterleaveConfig()
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise ConfigError(f"no column {missing[0]!r}, needed: {', '.join(_NEEDED)}")
    group: list[dict[str, Any]] = []
    size = 0
    for row in table.select(list(_NEEDED)).to_pylist():
        if config.without_text == "drop" and not row["text"]:
            continue
        length = len(row["sequence"]) + len(row["text"] or "")
        if group and not (_goes_on(group[-1], row) and size + length <= config.max_document):
            yield _document(group, config)
            group, size = [], 0
        group.append(row)
        size += length
    if group:
        yield _document(group, config)


def _goes_on(before: dict[str, Any], row: dict[str, Any]) -> bool:
    in_order = None not in (before["start"], row["start"]) and before["start"] < row["start"]
    return row["parent"] is not None and row["parent"] == before["parent"] and in_order


def _document(rows: list[dict[str, Any]], config: InterleaveConfig) -> Document:
    text_first = config.order == "text-first" or (
        config.order == "both" and _coin(rows[0]["id"], config.seed)
    )
    pieces: list[str] = []
    last = None
    for row in rows:
        sequence = marked(row["alphabet"], row["sequence"])
        text = marked("text", row["text"]) if row["text"] and row["text"] != last else ""
        last = row["text"]
        pieces.append(text + sequence if text_first else sequence + text)
    return Document(tuple(row["id"] for row in rows), "".join(pieces))


def _coin(name: str, seed: int) -> bool:
    return bool(np.random.default_rng([seed, *name.encode()]).integers(2))
