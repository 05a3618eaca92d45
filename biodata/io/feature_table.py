"""Feature tables of GenBank records as Arrow columns, many records at once, without an object per line.

Only tables of the regular layout are read; for any other the caller is told to read it in another way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.io.feature_layout import BLANK, Bools, Entries, Int64s, find_entries
from biodata.io.hulls import hulls
from biodata.io.locations import hull, write_out_wraps
from biodata.schema import ATTRIBUTE_TYPE, FEATURE_TYPE

Pairs = list[tuple[str, str]]

_KEY = re.compile(r"[A-Za-z0-9_'*-]+")


class Owner(NamedTuple):
    """What of its record the reading of a table depends on.

    Attributes:
        length: number of letters.
        circular: ranges over the origin are written as two parts.
        stranded: whether its features have strands (proteins have none).
    """

    length: int
    circular: bool
    stranded: bool


@dataclass(frozen=True, slots=True)
class TableColumns:
    """One row per table: its features, and the qualifiers of its first `source` feature if it has one."""

    features: pa.Array
    sources: list[Pairs | None]


def read_tables(tables: list[bytes], owners: list[Owner]) -> tuple[TableColumns | None, list[int]]:
    """Reads shortened tables.

    Args:
        tables: results of `shorten`.
        owners: their records.

    Returns:
        The columns and an empty list; or None and the numbers of the tables that are not of the regular
        layout, without which the others can be read.
    """
    entries = find_entries(tables)
    if entries.odd.any():
        return None, np.flatnonzero(entries.odd).tolist()
    keys, values = _texts(entries)
    codes = keys.dictionary_encode()
    wrong = [i for i, key in enumerate(codes.dictionary.to_pylist()) if not _KEY.fullmatch(key)]
    code = codes.indices.to_numpy()
    if wrong and (bad := np.isin(code, wrong)).any():
        return None, np.unique(entries.table[bad]).tolist()
    values = _one_line(values, entries)
    return _columns(entries, codes.dictionary.to_pylist(), code, values, owners), []


# --- texts


def _texts(entries: Entries) -> tuple[pa.Array, pa.Array]:
    """Keys and values as they stand in the text."""
    n = len(entries.table)
    cuts = np.empty(4 * n + 1, np.int32)
    cuts[0:-1:4], cuts[1::4] = entries.key
    cuts[2::4], cuts[3::4] = entries.value
    cuts[-1] = len(entries.text)
    buffers = [None, pa.py_buffer(cuts), pa.py_buffer(entries.text)]
    pieces = pa.Array.from_buffers(pa.string(), 4 * n, buffers)
    at = np.arange(0, 4 * n, 4)
    return pieces.take(pa.array(at)), pieces.take(pa.array(at + 2))


def _one_line(values: pa.Array, entries: Entries) -> pa.Array:
    """Values with single blanks, without blanks if they are solid, and with quotation marks unescaped."""
    data = np.frombuffer(entries.text, np.uint8)
    start, end = entries.value
    mend = entries.escaped.copy()
    if b"  " in entries.text and len(start):  # a table may be its header alone
        blank = data == BLANK
        double = np.flatnonzero(blank[1:] & blank[:-1])
        at = np.searchsorted(start, double, "right") - 1  # the last value that begins there or before
        mend[at[(at >= 0) & (double + 1 < end[at])]] = True
    filled = np.flatnonzero(end > start)
    mend[filled[(data[start[filled]] == BLANK) | (data[end[filled] - 1] == BLANK)]] = True
    solid = np.flatnonzero(entries.is_solid)
    mend[solid[_with_blank(values.take(pa.array(solid)))]] = True
    rows = np.flatnonzero(mend)
    new = []
    for row, value in zip(rows.tolist(), values.take(pa.array(rows)).to_pylist()):
        value = value.replace('""', '"') if entries.escaped[row] else value
        new.append(("" if entries.is_solid[row] else " ").join(value.split()))
    return _replaced(values, rows, pa.array(new, pa.string()))


def _with_blank(values: pa.Array) -> Bools:
    if not (np.frombuffer(values.buffers()[2] or b"", np.uint8) == BLANK).any():
        return np.zeros(len(values), np.bool_)
    return pc.call_function("match_substring", [values], pc.MatchSubstringOptions(" ")).to_numpy(
        zero_copy_only=False
    )


def _replaced(values: pa.Array, rows: Int64s, new: pa.Array) -> pa.Array:
    """The values with those of some rows, in rising order, exchanged."""
    if not len(rows):
        return values
    mask = np.zeros(len(values), np.bool_)
    mask[rows] = True
    return pc.call_function("replace_with_mask", [values, pa.array(mask), new])


# --- columns


def _columns(
    entries: Entries, names: list[str], code: Any, values: pa.Array, owners: list[Owner]
) -> TableColumns:
    at = np.flatnonzero(entries.is_feature)
    table = entries.table[at]
    feature = np.cumsum(entries.is_feature) - 1
    types = pa.array(names, pa.string()).take(pa.array(code[at]))
    sources = _sources(entries, names, code, values, len(owners))
    locations, spans = _located(values.take(pa.array(at)), table, owners)
    values = _replaced(values, at, locations)
    code = code.copy()
    code[at] = names.index("location") if "location" in names else len(names)
    kept, values = _joined(feature, code, values)
    keys = pa.array([*names, "location"], pa.string()).take(pa.array(code[kept]))
    pairs = pa.StructArray.from_arrays([keys, values], fields=list(ATTRIBUTE_TYPE))
    attributes = pa.ListArray.from_arrays(_offsets(feature[kept], len(at)), pairs)
    features = pa.StructArray.from_arrays([types, *spans, attributes], fields=list(FEATURE_TYPE))
    rows = pa.ListArray.from_arrays(_offsets(table, len(owners)), features)
    return TableColumns(rows, sources)


def _offsets(of: Int64s, n: int) -> pa.Array:
    counts = np.bincount(of, minlength=n)
    return pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))


def _located(texts: pa.Array, table: Int64s, owners: list[Owner]) -> tuple[pa.Array, list[pa.Array]]:
    """Locations, written out where they run over the origin, and start, end and strand."""
    found = hulls(texts)
    circular = np.array([owner.circular for owner in owners], np.bool_)[table]
    rows, new = [], []
    for row in np.flatnonzero(found.falls & circular).tolist():
        text = write_out_wraps(texts[row].as_py(), owners[table[row]].length)
        rows.append(row)
        new.append(text)
        found.start[row], found.end[row], found.strand[row] = hull(text)
    stranded = np.array([owner.stranded for owner in owners], np.bool_)[table]
    strand = np.where(stranded, found.strand, 0).astype(np.int8)
    spans = [pa.array(column) for column in (found.start, found.end, strand)]
    return _replaced(texts, np.array(rows, np.int64), pa.array(new, pa.string())), spans


def _joined(feature: Int64s, code: Any, values: pa.Array) -> tuple[Int64s, pa.Array]:
    """The first entry of every key of a feature, and the values of all its entries, joined by `"; "`."""
    both = feature * (int(code.max(initial=0)) + 1) + code
    order = np.argsort(both, kind="stable")
    fresh = np.r_[True, np.diff(both[order]) > 0][: len(order)]
    if fresh.all():
        return np.arange(len(order)), values
    group = np.cumsum(fresh) - 1
    size = np.bincount(group)
    rows = order[fresh]  # the first of each group
    several = np.flatnonzero(size > 1)
    several = several[np.argsort(rows[several])]
    begin = np.flatnonzero(fresh)
    members = np.concatenate([order[begin[g] : begin[g] + size[g]] for g in several.tolist()])
    lists = pa.ListArray.from_arrays(
        pa.array(np.r_[0, np.cumsum(size[several])].astype(np.int32)), values.take(pa.array(members))
    )
    joined = pc.call_function("binary_join", [lists, pa.scalar("; ")])
    kept = np.sort(rows)
    return kept, _replaced(values, rows[several], joined).take(pa.array(kept))


def _sources(entries: Entries, names: list[str], code: Any, values: pa.Array, n: int) -> list[Pairs | None]:
    """The qualifiers of the first `source` feature of each table."""
    found: list[Pairs | None] = [None] * n
    if "source" not in names:
        return found
    every = np.flatnonzero(entries.is_feature & (code == names.index("source")))
    tables, first = np.unique(entries.table[every], return_index=True)
    for table in tables.tolist():
        found[table] = []
    is_source = np.zeros(len(code), np.bool_)
    is_source[every[first]] = True
    owner = np.maximum.accumulate(np.where(entries.is_feature, np.arange(len(code)), 0))
    rows = np.flatnonzero(is_source[owner] & ~entries.is_feature)
    texts = values.take(pa.array(rows)).to_pylist()
    for table, key, value in zip(entries.table[rows].tolist(), code[rows].tolist(), texts):
        pairs = found[table]
        assert pairs is not None
        pairs.append((names[key], value))
    return found
