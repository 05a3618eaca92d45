"""The book of a build: how many rows each rule dropped or changed, and which ones.

Every step that removes or rewrites something writes here; nothing leaves the data without an entry. Counts go
to `manifest.json`, the rows to a Parquet listing of `LISTING_SCHEMA`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from biodata.files import atomic_path

LISTING_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("action", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""One row per dropped or changed record: `action` is `dropped` or `changed`, `reason` names the rule, `line`
is the 1-based line of the record in the decompressed file, null if unknown."""

Texts: TypeAlias = "str | Sequence[str | None] | pa.Array | pa.ChunkedArray | None"
Lines: TypeAlias = "int | Sequence[int | None] | pa.Array | pa.ChunkedArray | None"


class RuleLog:
    """Counts per rule and the rows concerned, columnar and in the order of the calls.

    Args:
        file: name of the input whose rows are being treated; set it anew when the input changes.

    >>> log = RuleLog(file="a.fa")
    >>> log.drop("too-short", ["r1", "r2"], lines=[1, 3], detail="length 2, at least 9 wanted")
    >>> log.change("upper-cased", 5)
    >>> log.as_dict()
    {'dropped': {'too-short': 2}, 'changed': {'upper-cased': 5}}
    >>> log.table().column("line").to_pylist()
    [1, 3]
    """

    def __init__(self, *, file: str = "") -> None:
        self.file = file
        self._counts: dict[str, Counter[str]] = {"dropped": Counter(), "changed": Counter()}
        self._rows: list[pa.RecordBatch] = []

    def drop(self, reason: str, ids: Texts, *, lines: Lines = None, detail: Texts = "") -> None:
        """Counts and lists rows that leave the data.

        Args:
            reason: name of the rule, for example `duplicate-sequence`.
            ids: one id or a column of them.
            lines: their lines in the input, one for all or as many as ids.
            detail: what was found, one text for all or as many as ids.
        """
        rows = self._list("dropped", reason, ids, lines, detail)
        self._counts["dropped"][reason] += rows

    def change(
        self, rule: str, n: int | None = None, *, ids: Texts = None, lines: Lines = None, detail: Texts = ""
    ) -> None:  # fmt: skip
        """Counts a change; lists the rows as well where `ids` are given.

        Args:
            rule: name of the rule, for example `upper-cased`.
            n: how many (rows or whatever the rule counts); the number of `ids` when left out.
            ids: the rows concerned, where a list is worth its room.
            lines: as in `drop`.
            detail: as in `drop`.
        """
        rows = 0 if ids is None else self._list("changed", rule, ids, lines, detail)
        self._counts["changed"][rule] += rows if n is None else n

    def merge(self, other: RuleLog) -> None:
        """Adds the counts and rows of another log after its own."""
        for action, counts in other._counts.items():
            self._counts[action].update(counts)
        self._rows.extend(other._rows)

    def add_counts(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Adds the counts of an earlier `as_dict`, without rows."""
        for action, by_rule in counts.items():
            self._counts[action].update(by_rule)

    @property
    def listed(self) -> int:
        """Number of rows listed since the last `take_rows`."""
        return sum(rows.num_rows for rows in self._rows)

    def take_rows(self) -> pa.Table:
        """The rows listed since the last call, which are then forgotten; the counts stay."""
        rows, self._rows = self._rows, []
        return pa.Table.from_batches(rows, schema=LISTING_SCHEMA)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """`{"dropped": {reason: n}, "changed": {rule: n}}`, sorted by name, without zeros."""
        return {action: {k: n for k, n in sorted(c.items()) if n} for action, c in self._counts.items()}

    def table(self, action: str | None = None) -> pa.Table:
        """The listed rows, `LISTING_SCHEMA`; only those `dropped` or `changed` if so asked."""
        rows = [r for r in self._rows if action is None or r["action"][0].as_py() == action]
        return pa.Table.from_batches(rows, schema=LISTING_SCHEMA)

    def write(self, path: Path, action: str | None = None) -> None:
        """Writes `table(action)` to a Parquet file atomically."""
        with atomic_path(path) as part:
            pq.write_table(self.table(action), part, compression="zstd")

    def _list(self, action: str, rule: str, ids: Texts, lines: Lines, detail: Texts) -> int:
        names = _texts(ids, 1)
        n = len(names)
        if n:
            columns = [names, _same(self.file, n), _numbers(lines, n), _same(action, n), _same(rule, n),
                       _texts(detail, n)]  # fmt: skip
            self._rows.append(pa.record_batch(columns, schema=LISTING_SCHEMA))
        return n


def _same(text: str | None, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), n)


def _texts(values: Texts, n: int) -> pa.Array:
    if values is None or isinstance(values, str):
        return _same(values, n)
    return _array(values, pa.string())


def _numbers(values: Lines, n: int) -> pa.Array:
    if values is None or isinstance(values, int):
        return pa.repeat(pa.scalar(values, pa.int64()), n)
    return _array(values, pa.int64())


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)
