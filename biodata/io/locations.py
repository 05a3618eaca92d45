"""Feature locations of the INSDC feature table (GenBank, EMBL) as intervals.

Syntax: https://www.insdc.org/submitting-standards/feature-table/ section 3.4. Positions there are 1-based and
inclusive; here they are 0-based and half-open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

# numbers of up to 18 digits fit 63 bits; longer ones are no positions
_RANGE = re.compile(r"(<?)([0-9]{1,18})(?:\.\.(>?)([0-9]{1,18}))?")
_SIMPLE = re.compile(r"(complement\()?<?([0-9]{1,18})(?:\.\.>?([0-9]{1,18}))?\)?")
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,18}(?![0-9])")
_REMOTE = re.compile(r"(?<![\w.|-])[\w.|-]+:[^,)]*")  # tried once a word, so that long ones cost no square
_BACKWARDS = re.compile(r"(<?)(?<![0-9])([0-9]{1,18})\.\.(>?)([0-9]{1,18})(?![0-9])")
_DEEPEST = 32  # brackets in brackets; archives have three


class LocationError(ValueError):
    """A location from which no sequence can be cut; `reason` is the name of the rule that drops it."""

    def __init__(self, reason: str, what: str) -> None:
        self.reason = reason
        super().__init__(what)


class Part(NamedTuple):
    """One interval of a location.

    Attributes:
        start: 0-based first position.
        end: position after the last.
        strand: 1 or -1.
        open_start: the real start lies before `start` (`<`).
        open_end: the real end lies after `end` (`>`).
    """

    start: int
    end: int
    strand: int
    open_start: bool
    open_end: bool


@dataclass(frozen=True, slots=True)
class Location:
    """Intervals in the order in which they are read, 5' to 3' of the product.

    >>> parse_location("complement(join(<1..4,9..10))").parts[0][:3]
    (8, 10, -1)
    >>> parse_location("complement(join(<1..4,9..10))").open_3prime
    True
    """

    parts: tuple[Part, ...]

    @property
    def open_5prime(self) -> bool:
        """Whether the product begins before the first position."""
        first = self.parts[0]
        return first.open_start if first.strand > 0 else first.open_end

    @property
    def open_3prime(self) -> bool:
        """Whether the product goes on after the last position."""
        last = self.parts[-1]
        return last.open_end if last.strand > 0 else last.open_start

    @property
    def length(self) -> int:
        """Number of letters."""
        return sum(part.end - part.start for part in self.parts)

    def offset_of(self, position: int) -> int | None:
        """Where a 0-based position of the record lies in the product, `None` if outside.

        >>> parse_location("complement(join(1..4,9..10))").offset_of(3)
        2
        """
        before = 0
        for part in self.parts:
            if part.start <= position < part.end:
                return before + (position - part.start if part.strand > 0 else part.end - 1 - position)
            before += part.end - part.start
        return None


@lru_cache(maxsize=4096)
def parse_location(text: str) -> Location:
    """The intervals of a location: ranges and positions under `join`, `order` and `complement`, nested.

    Raises:
        LocationError: `remote-location` for a part in another record; `bad-location` for what has no
            definite letters (`a^b`, `a.b`, `one-of`, `bond`, `gap`, a range that runs backwards) or is
            no location.

    >>> [p[:3] for p in parse_location("join(1..3,complement(5..9))").parts]
    [(0, 3, 1), (4, 9, -1)]
    """
    if _REMOTE.search(text):
        raise LocationError("remote-location", f"{text} lies in another record")
    return Location(tuple(_parts(text.replace(" ", ""), text)))


def _parts(text: str, whole: str, depth: int = 0) -> list[Part]:
    if match := _RANGE.fullmatch(text):
        return [_part(match, whole)]
    name, bracket, inner = text.partition("(")
    known = bracket and inner.endswith(")") and name in ("complement", "join", "order")
    if not known or depth > _DEEPEST:
        raise LocationError("bad-location", f"{whole} has no definite letters")
    inner = inner[:-1]
    if name != "complement":
        return [part for piece in _split(inner) for part in _parts(piece, whole, depth + 1)]
    return [part._replace(strand=-part.strand) for part in reversed(_parts(inner, whole, depth + 1))]


def _part(match: re.Match[str], whole: str) -> Part:
    opened, first, closed, last = match.groups()
    start, end = int(first) - 1, int(last or first)
    if not 0 <= start < end:
        raise LocationError("bad-location", f"{whole} runs backwards or begins at 0")
    return Part(start, end, 1, bool(opened), bool(closed))


def _split(text: str) -> list[str]:
    """Splits at the commas that are outside brackets."""
    pieces, depth, begin = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            pieces.append(text[begin:i])
            begin = i + 1
    return [*pieces, text[begin:]]


def hull(text: str) -> tuple[int, int, int]:
    """Smallest interval around a location and its strand; never fails.

    The strand is 1 or -1 if all parts agree, else 0. Parts in other records are left out; a location with no
    position in this record gives (0, 0, 0). `a^b` (between two bases) gives an empty interval.

    >>> hull("complement(join(<1..4,9..>10))"), hull("join(5..7,complement(1..2))"), hull("3^4")
    ((0, 10, -1), (0, 7, 0), (3, 3, 1))
    """
    if match := _SIMPLE.fullmatch(text):
        reverse, first, last = match.groups()
        start, end = int(first) - 1, int(last or first)
        if 0 <= start <= end:
            return start, end, -1 if reverse else 1
    positions = [int(n) for n in _NUMBER.findall(_REMOTE.sub("", text))]
    if not positions:
        return 0, 0, 0
    if match := re.fullmatch(r"(?:complement\()?([0-9]{1,18})\^[0-9]{1,18}\)?", text):
        return int(match[1]), int(match[1]), -1 if text.startswith("c") else 1
    return max(min(positions) - 1, 0), max(positions), _strand(text)


def _strand(text: str) -> int:
    if "complement" not in text:
        return 1
    try:
        strands = {part.strand for part in parse_location(text).parts}
    except LocationError:
        return -1 if text.startswith("complement") and text.count("complement") == 1 else 0
    return strands.pop() if len(strands) == 1 else 0


def write_out_wraps(text: str, length: int) -> str:
    """A location on a circular record with ranges over the origin written as two parts.

    >>> write_out_wraps("complement(<95..10)", 100)
    'complement(join(<95..100,1..10))'
    >>> write_out_wraps("join(1..5,95..10)", 100)
    'join(1..5,join(95..100,1..10))'
    """

    def both_parts(match: re.Match[str]) -> str:
        opened, first, closed, last = match.groups()
        if int(first) <= int(last) or int(first) > length or last == "0":
            return match[0]
        return f"join({opened}{first}..{length},1..{closed}{last})"

    return _BACKWARDS.sub(both_parts, text)
