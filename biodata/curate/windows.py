"""Windows cut from long rows; each keeps its parent, its place on it and the features inside.

A row that is not longer than a window stays whole. The last window of a longer row ends with the row, so that
no letter is lost and all windows have one length; it may overlap its neighbour more than asked. Windows of
one parent are kept in one split (`split.keep_together`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biodata.curate.rules import RuleLog
from biodata.curate.window_policy import WindowPolicy
from biodata.io.features import FeatureColumn
from biodata.io.locations import LocationError, parse_location
from biodata.schema import LABEL_TYPE, SCHEMA

BATCH_LETTERS = 16 << 20
WINDOW_LABEL = "window_of"
"""Label of every window: the id of its parent. By it the split knows whom to keep together."""
_PLACE = ("parent", "start", "end", "strand")
_STALE = ("location", "translation", "codon_start", "transl_except")  # of the whole feature, not of its part


def window_starts(length: int, *, window: int, overlap: int) -> list[int]:
    """First positions of the windows of a row.

    Args:
        length: letters of the row.
        window: letters of a window, at least 1.
        overlap: letters that neighbouring windows share, at least; below `window`. The last window ends with
            the row and may share more.

    >>> window_starts(25, window=10, overlap=2), window_starts(10, window=10, overlap=2)
    ([0, 8, 15], [0])
    """
    last = max(length - window, 0)
    starts = list(range(0, last, window - overlap))
    return [*starts, last]


def cut_windows(batch: pa.RecordBatch, policy: WindowPolicy, *, log: RuleLog) -> Iterator[pa.RecordBatch]:
    """The windows of all rows of a batch, in order, in batches of bounded size.

    Args:
        batch: columns `id`, `sequence`, `features`, `labels`, ... of `RAW_SCHEMA`.
        policy: length and overlap; with window 0 the batch is given back.
        log: takes `cut-into-windows` (rows that were cut).

    Yields:
        The columns of the batch and `parent`, `start`, `end`, `strand`. The id of a window is
        `parent:start..end` (0-based, half-open), of a row left whole its own.
    """
    if not policy.window:
        yield batch
        return
    lengths = pc.call_function("binary_length", [batch["sequence"]]).to_numpy(zero_copy_only=False)
    if (cut := int((lengths > policy.window).sum())) == 0:
        yield batch
        return
    log.change("cut-into-windows", cut)
    places = [window_starts(n, window=policy.window, overlap=policy.window_overlap) for n in lengths.tolist()]
    owner = np.repeat(np.arange(len(places)), [len(p) for p in places])
    starts = np.array([start for row in places for start in row], np.int64)
    ends = np.minimum(starts + policy.window, lengths[owner])
    per_batch = max(1, BATCH_LETTERS // policy.window)
    annotated = _Features(batch)
    for first in range(0, len(owner), per_batch):
        part = slice(first, first + per_batch)
        yield _windows(batch, owner[part], (starts[part], ends[part]), lengths, annotated)


def _windows(
    batch: pa.RecordBatch, owner: npt.NDArray[np.int64], spans: Sequence[npt.NDArray[np.int64]],
    lengths: npt.NDArray[np.int64], annotated: _Features,
) -> pa.RecordBatch:  # fmt: skip
    starts, ends = spans
    whole = ends - starts == lengths[owner]
    rows = pa.array(owner)
    columns: dict[str, Any] = {
        name: batch[name].take(rows) for name in batch.schema.names if name not in ("sequence", "features")
    }
    parents = columns["id"].to_pylist()
    spans_of = list(zip(owner.tolist(), starts.tolist(), ends.tolist()))
    columns["sequence"] = _cut(batch["sequence"], spans_of)
    columns["features"] = annotated.cut(spans_of, whole)
    columns["id"] = pa.array(
        [p if w else f"{p}:{a}..{b}" for p, w, (_, a, b) in zip(parents, whole.tolist(), spans_of)],
        pa.string(),
    )
    columns["labels"] = _with_parent(columns["labels"].to_pylist(), parents, whole.tolist())
    strands = np.ones(len(owner), np.int8)
    for name, values in zip(_PLACE, (parents, starts, ends, strands)):
        made = pa.array(values, SCHEMA.field(name).type, mask=whole)
        before = columns.get(name)  # a row left whole keeps what it says of itself
        columns[name] = made if before is None else pc.call_function("coalesce", [made, before])
    names = [*batch.schema.names, *(n for n in _PLACE if n not in batch.schema.names)]
    return pa.record_batch([columns[name] for name in names], names=names)


def _cut(sequences: pa.Array, spans: list[tuple[int, int, int]]) -> pa.Array:
    """Pieces of a column of ASCII letters, without making texts of the rows."""
    column = sequences.cast(pa.large_string())
    data = memoryview(column.buffers()[2] or b"")
    base = np.frombuffer(column.buffers()[1], np.int64)[column.offset :].tolist()
    joined = b"".join([data[base[row] + start : base[row] + end] for row, start, end in spans])
    sizes = [end - start for _, start, end in spans]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return pa.Array.from_buffers(
        pa.large_string(), len(spans), [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(joined)]
    )


def _with_parent(labels: list[Any], parents: list[str], whole: list[bool]) -> pa.Array:
    rows = [
        row if is_whole else [*(row or ()), {"name": WINDOW_LABEL, "value": None, "text": parent}]
        for row, parent, is_whole in zip(labels, parents, whole)
    ]
    return pa.array(rows, pa.list_(LABEL_TYPE))


class _Features:
    """The features of a batch, by row, sorted by start, to be cut to windows."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        column = batch["features"]
        self._none = column.null_count == batch.num_rows
        rows: list[Any] = [] if self._none else column.to_pylist()
        self._rows: list[list[dict[str, Any]]] = [
            sorted(row or (), key=lambda f: (f["start"], f["end"])) for row in rows
        ]
        self._starts = [np.array([f["start"] for f in row], np.int64) for row in self._rows]
        self._ends = [np.array([f["end"] for f in row], np.int64) for row in self._rows]

    def cut(self, spans: list[tuple[int, int, int]], whole: npt.NDArray[np.bool_]) -> pa.Array:
        """The features of every window, moved to its coordinates and clipped to it."""
        if self._none:
            return pa.nulls(len(spans), SCHEMA.field("features").type)
        column = FeatureColumn()
        for (row, start, end), is_whole in zip(spans, whole.tolist()):
            inside = np.flatnonzero((self._starts[row] < end) & (self._ends[row] > start))
            for at in inside.tolist():
                if _reaches(self._rows[row][at], start, end):
                    self._add(column, self._rows[row][at], start, end, is_whole)
            column.end_row()
        return column.array()

    def _add(self, column: FeatureColumn, feature: dict[str, Any], start: int, end: int, whole: bool) -> None:
        first, last = max(feature["start"], start), min(feature["end"], end)
        attributes = {a["key"]: a["value"] for a in feature["attributes"] or ()}
        if not whole:
            attributes = {key: value for key, value in attributes.items() if key not in _STALE}
            if (first, last) != (feature["start"], feature["end"]):
                attributes["clipped"] = ""
        column.add(feature["type"], (first - start, last - start, feature["strand"]), attributes)


def _reaches(feature: dict[str, Any], start: int, end: int) -> bool:
    """Whether a part of the feature lies in the window: one within an intron holds none of the gene."""
    where = next((a["value"] for a in feature["attributes"] or () if a["key"] == "location"), "")
    if "," not in where:
        return True
    try:
        parts = parse_location(where).parts
    except LocationError:
        return True
    return any(part.start < end and part.end > start for part in parts)
