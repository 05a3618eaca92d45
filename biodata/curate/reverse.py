"""Second readings of a sequence: the reverse complement of a nucleic acid, a protein read from C to N.

They are added when the splits are written: a reading stands right after its row, in its split and its
cluster, and cannot leave them.

    id                 sequence        start end strand  label
    chr1:0..100        ACG...          0     100  1
    chr1:0..100:rc     ...CGT          0     100 -1
    P12345             MKV...
    P12345:reversed    ...VKM                            direction = C>N
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.alphabet import reverse_complement
from biodata.curate.dedupe import checksum_column, digests
from biodata.errors import ConfigError
from biodata.schema import SCHEMA

Kind = Literal["none", "reverse-complement", "reversed"]

KINDS: tuple[Kind, ...] = ("none", "reverse-complement", "reversed")
_SUFFIX = {"reverse-complement": ":rc", "reversed": ":reversed"}
_DIRECTION = {"name": "direction", "value": None, "text": "C>N"}
_BATCH_ROWS = 4096


def check_kind(kind: Kind, alphabet: str) -> None:
    """Refuses readings that make no sense.

    Raises:
        ConfigError: a reverse complement of proteins, or nucleotides read backwards.
    """
    wanted = {"reverse-complement": ("dna", "rna"), "reversed": ("protein",)}.get(kind)
    if wanted and alphabet not in wanted:
        raise ConfigError(f"augment is {kind!r} with alphabet {alphabet!r}, allowed: {', '.join(wanted)}")


def other_reading(sequence: str, kind: Kind, alphabet: str) -> str:
    """The sequence read the other way.

    Args:
        sequence: upper-case letters of the alphabet.
        kind: `reverse-complement` or `reversed`.
        alphabet: dna, rna or protein; decides whether the complement of A is T or U.

    >>> other_reading("AAUG", "reverse-complement", "rna"), other_reading("MKV", "reversed", "protein")
    ('CAUU', 'VKM')
    """
    if kind == "reversed":
        return sequence[::-1]
    if alphabet == "rna":
        return reverse_complement(sequence.replace("U", "T")).replace("T", "U")
    return reverse_complement(sequence)


@dataclass(frozen=True, slots=True)
class Readings:
    """Which rows get a second reading.

    Attributes:
        kind: reverse complement or reversed.
        alphabet: of the rows.
        copies: int8, rows that each row becomes, 1 or 2.
    """

    kind: Kind
    alphabet: str
    copies: npt.NDArray[np.int8]

    def counts(self) -> dict[str, int]:
        """Rows that get a second reading, and rows whose other reading is a row itself."""
        added = int((self.copies == 2).sum())
        return {"reading-added": added, "reading-there": len(self.copies) - added}

    def expand(self, table: pa.Table, first: int) -> pa.Table:
        """Rows of `SCHEMA` with the second readings after them.

        Args:
            table: rows in input order.
            first: number of its first row.
        """
        copies = self.copies[first : first + len(table)]
        if not len(table) or copies.max() == 1:
            return table
        chosen = np.flatnonzero(copies == 2)
        added = pa.Table.from_pylist(
            [self._read(row) for row in table.take(pa.array(chosen)).to_pylist()], schema=SCHEMA
        )
        added = added.set_column(
            SCHEMA.get_field_index("checksum"), SCHEMA.field("checksum"),
            pa.chunked_array([checksum_column(digests(added["sequence"].combine_chunks()))]),
        )  # fmt: skip
        both = pa.concat_tables([table, added])
        order = np.argsort(np.concatenate([np.arange(len(table)), chosen + 0.5]), kind="stable")
        return both.take(pa.array(order))

    def _read(self, row: dict[str, Any]) -> dict[str, Any]:
        length = len(row["sequence"])
        features = (
            [_turned(f, length) for f in reversed(row["features"])] if row["features"] else row["features"]
        )
        changed = {"id": row["id"] + _SUFFIX[self.kind], "features": features, "checksum": "",
                   "sequence": other_reading(row["sequence"], self.kind, self.alphabet)}  # fmt: skip
        if self.kind == "reversed":
            return row | changed | {"labels": [*(row["labels"] or ()), _DIRECTION]}
        if row["parent"] is None:
            place = {"parent": row["id"], "start": 0, "end": length, "strand": -1}
        else:
            place = {"strand": -(row["strand"] or 1)}
        return row | changed | place


def plan_readings(stages: Sequence[Path], kind: Kind, *, alphabet: str) -> Readings:
    """Decides which rows get a second reading: all whose other reading is not there already.

    Args:
        stages: Parquet files of `SCHEMA`, in order; read column by column, in bounded memory but for 16 bytes
            a row.
    """
    check_kind(kind, alphabet)
    names = [bytes.fromhex("".join(batch["checksum"].to_pylist())) for batch in _columns(stages, "checksum")]
    known = np.sort(np.frombuffer(b"".join(names), "S16"))
    parts = [np.zeros(0, np.int8)]
    for batch in _columns(stages, "sequence"):
        texts = [other_reading(text, kind, alphabet) for text in batch["sequence"].to_pylist()]
        found = np.frombuffer(digests(pa.array(texts, pa.large_string())).tobytes(), "S16")
        at = np.minimum(np.searchsorted(known, found), max(len(known) - 1, 0))
        parts.append(np.where(known[at] == found, 1, 2).astype(np.int8))
    return Readings(kind, alphabet, np.concatenate(parts))


def _turned(feature: dict[str, Any], length: int) -> dict[str, Any]:
    kept = [a for a in feature["attributes"] or () if a["key"] != "location"]
    return feature | {"start": length - feature["end"], "end": length - feature["start"],
                      "strand": -feature["strand"], "attributes": kept}  # fmt: skip


def _columns(stages: Sequence[Path], name: str) -> Iterator[pa.RecordBatch]:
    for path in stages:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=[name])
