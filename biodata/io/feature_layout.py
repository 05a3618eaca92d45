"""Where keys and values stand in feature tables of the regular layout: arithmetic on positions, no loop.

A table is first shortened (`shorten`): the blanks that begin a line become one byte, 1 before a qualifier
or the continuation of a line and 2 before a feature. Then one pass finds these bytes, the quotation marks and
the equals signs. Layout: https://www.insdc.org/submitting-standards/feature-table/ section 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLANK = 32
_MORE, _FEATURE, _QUOTE, _EQUALS, _CONTROL = 1, 2, 3, 4, 5
_MARKS = bytes(
    {1: _MORE, 2: _FEATURE, 34: _QUOTE, 61: _EQUALS}.get(i, _CONTROL if i < 32 or i > 126 else 0)
    for i in range(256)
)
_KEY_WIDTH = 16  # columns 6 to 21: the key and the blanks after it
_END = b"\x02" + b" " * (_KEY_WIDTH + 1)  # as if another feature followed
_SLASH, _MARK, _NO_BLANK = 47, 34, 45
_INDENT = re.compile(rb"\n {21}")
_TRANSLATION = np.frombuffer(b"translation", np.uint8)


def shorten(table: bytes) -> bytes | None:
    """The lines of a table with the byte before each; None if it cannot be of the regular layout.

    Args:
        table: the lines after `FEATURES`, each with the line feed before it, none after the last.
    """
    if b"\x01" in table or b"\x02" in table or not table.isascii():
        return None
    return _INDENT.sub(b"\x01", table).replace(b"\n     ", b"\x02")


@dataclass(slots=True)
class Entries:
    """Features and qualifiers in the order of the text; a feature is the entry of its location.

    Attributes:
        text: the tables, without line breaks inside values, and with blanks after the keys of features gone.
        odd: per table, whether it is not of the regular layout; if any is, the rest is of no use.
        table: of each entry.
        is_feature: whether it is a feature, else a qualifier of the last feature before.
        is_solid: whether its value has no blanks: locations and translations.
        escaped: whether its value has quotation marks inside, each written twice.
        key: first position of each key, and the one after its last.
        value: the same of the values.
    """

    text: bytearray
    odd: Bools
    table: Int64s
    is_feature: Bools
    is_solid: Bools
    escaped: Bools
    key: tuple[Int64s, Int64s]
    value: tuple[Int64s, Int64s]


@dataclass(frozen=True, slots=True)
class _Marks:
    """Marks in the text; line breaks are those of them whose kind is `_MORE` or `_FEATURE`."""

    text: bytearray
    at: Int64s
    kind: npt.NDArray[np.uint8]
    breaks: Int64s  # numbers of the marks that are line breaks
    quotes: Int64s  # of each line break: quotation marks before it
    table: Int64s  # of each line break
    is_feature: Bools  # of each line break


def find_entries(tables: list[bytes]) -> Entries:
    """The entries of shortened tables."""
    sizes = np.array([len(table) for table in tables], np.int64)
    ends = np.cumsum(sizes)
    marks, begin = _marks(tables, ends - sizes)
    data = np.frombuffer(marks.text, np.uint8)
    odd = np.zeros(len(tables) + 1, np.bool_)
    odd[np.searchsorted(ends, marks.at[marks.kind == _CONTROL], "right")] = True
    odd[:-1][(sizes > 0) & (data[ends - sizes] != _FEATURE)] = True
    inside = ((marks.quotes - np.r_[marks.quotes[begin], 0][marks.table]) & 1).astype(np.bool_)
    is_entry = marks.is_feature | ((data[marks.at[marks.breaks] + 1] == _SLASH) & ~inside)
    odd[marks.table[marks.is_feature & inside]] = True
    found = np.flatnonzero(is_entry)
    result = _spans(marks, found[:-1], found[1:])
    odd[result.table[result.odd]] = True
    result.odd = odd[:-1]
    if not result.odd.any():
        _join_lines(result, marks.at[marks.breaks], found, is_entry)
    return result


def _marks(tables: list[bytes], starts: Int64s) -> tuple[_Marks, Int64s]:
    """The marks, and the number of the first line break of each table."""
    text = bytearray(b"").join([*tables, _END])
    marks = np.frombuffer(text.translate(_MARKS), np.uint8)
    at = np.flatnonzero(marks != 0)
    kind = marks[at]
    breaks = np.flatnonzero(kind <= _FEATURE)
    begin = np.searchsorted(at[breaks], starts)
    lines = np.diff(np.r_[begin, len(breaks) - 1])
    table = np.r_[np.repeat(np.arange(len(tables)), lines), len(tables)]
    quotes = np.cumsum(kind == _QUOTE)[breaks]
    return _Marks(text, at, kind, breaks, quotes, table, kind[breaks] == _FEATURE), begin


def _spans(marks: _Marks, entry: Int64s, after: Int64s) -> Entries:
    """Where keys and values are, from the line breaks of the entries and of those after; `odd` per entry."""
    data = np.frombuffer(marks.text, np.uint8)
    start, end = marks.at[marks.breaks[entry]] + 1, marks.at[marks.breaks[after]]
    n_quotes, is_feature = marks.quotes[after] - marks.quotes[entry], marks.is_feature[entry]
    following = marks.breaks[entry] + 1  # the next mark: `=`, a quotation mark or a line break
    has_value = (marks.kind[following] == _EQUALS) & ~is_feature
    key_end = np.where(has_value, marks.at[following], end)
    odd = ~is_feature & ~has_value & (marks.at[following] != end)  # a flag of several lines
    first = np.where(has_value, key_end + 1, end)
    quoted = has_value & (data[first] == _MARK) & (first < end)
    unclosed = (data[end - 1] != _MARK) | (n_quotes % 2 == 1) | (end - 1 <= first)
    odd |= np.where(quoted, unclosed, n_quotes > 0)
    key, value = (start + 1, key_end), (first + quoted, end - quoted)
    at = np.flatnonzero(is_feature)
    width, wrong = _feature_keys(data, start[at])
    odd[at[wrong | (start[at] + _KEY_WIDTH >= end[at])]] = True
    key[0][at], key[1][at] = start[at], start[at] + width
    value[0][at], value[1][at] = np.minimum(start[at] + _KEY_WIDTH, end[at]), end[at]
    escaped = quoted & (n_quotes > 2)
    for i in np.flatnonzero(escaped & ~odd).tolist():
        odd[i] = b'"' in data[value[0][i] : value[1][i]].tobytes().replace(b'""', b"")
    is_solid = is_feature | _are_translations(data, key)
    return Entries(marks.text, odd, marks.table[entry], is_feature, is_solid, escaped, key, value)


def _feature_keys(data: npt.NDArray[np.uint8], start: Int64s) -> tuple[Int64s, Bools]:
    """Widths of the keys of features, and which lines are not a key, blanks, and something in column 22."""
    window = data[start[:, None] + np.arange(_KEY_WIDTH + 1)]
    blank = window == BLANK
    width = blank.argmax(1)
    regular = (width > 0) & (blank[:, :-1].sum(1) == _KEY_WIDTH - width) & ~blank[:, -1]
    return width, ~(regular & (window >= BLANK).all(1))


def _are_translations(data: npt.NDArray[np.uint8], key: tuple[Int64s, Int64s]) -> Bools:
    found = key[1] - key[0] == len(_TRANSLATION)
    at = np.flatnonzero(found)
    letters = data[key[0][at][:, None] + np.arange(len(_TRANSLATION))]
    found[at] = (letters == _TRANSLATION).all(1)
    return found


def _join_lines(entries: Entries, breaks: Int64s, found: Int64s, is_entry: Bools) -> None:
    """Makes line breaks inside values blanks, or nothing in locations and translations."""
    data = np.frombuffer(entries.text, np.uint8)  # writes into the text
    inner = ~is_entry
    gone = inner & np.r_[entries.is_solid, False][np.cumsum(is_entry) - 1]
    data[breaks[inner]] = BLANK
    data[breaks[gone]] = 0
    at = np.flatnonzero(entries.is_feature)
    pad = entries.key[0][at][:, None] + np.arange(_KEY_WIDTH)
    data[pad[data[pad] == BLANK]] = _NO_BLANK  # so that double blanks are in values only
    before = np.cumsum(gone) - gone
    entry, after = before[found[:-1]], before[found[1:]]
    entries.key = (entries.key[0] - entry, entries.key[1] - entry)
    entries.value = (entries.value[0] - entry, entries.value[1] - after)
    entries.text = entries.text.translate(None, b"\0")
