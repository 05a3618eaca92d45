"""Ways to spoil a file: functions of a random generator and bytes; the same seed gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

Mutator = Callable[[Random, bytes, bytes], bytes]
"""Generator, content, content of another file (perhaps of another format)."""

NAMES = (
    b"../../../../etc/passwd", b"..\\..\\x", b"/etc/shadow", b"a/../../b", b"%2e%2e%2f", b"|touch x",
    b"$(id)", b"\x1b[31mred", b"x" * 5000, b"", b".", b"..", b"-", b"--help", b"con", b"a\xcc\x81",
    b"\xe2\x80\xae", b"'; drop",
)  # fmt: skip
NUMBERS = (
    b"0", b"-1", b"1e309", b"nan", b"inf", b"00", b"2147483648",
    b"9223372036854775807", b"9223372036854775808",
    b"9" * 30, b"9" * 5000, b"1.5", b"0x10", b"\xd9\xa1\xd9\xa2",
)  # fmt: skip


def _place(rng: Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def _span(rng: Random, data: bytes, most: int = 2000) -> tuple[int, int]:
    at = _place(rng, data)
    return at, min(len(data), at + rng.randrange(1, most))


def bit_flips(rng: Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncated(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: _place(rng, data)]


def beheaded(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[_place(rng, data) :]


def cut_out(rng: Random, data: bytes, other: bytes) -> bytes:
    a, b = _span(rng, data)
    return data[:a] + data[b:]


def doubled(rng: Random, data: bytes, other: bytes) -> bytes:
    a, b = _span(rng, data)
    return data[:b] + data[a:b] * rng.choice((1, 2, 20)) + data[b:]


def moved(rng: Random, data: bytes, other: bytes) -> bytes:
    a, b = _span(rng, data)
    rest = data[:a] + data[b:]
    at = _place(rng, rest)
    return rest[:at] + data[a:b] + rest[at:]


def spliced(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: _place(rng, data)] + other[_place(rng, other) :]


def appended(rng: Random, data: bytes, other: bytes) -> bytes:
    return data + other if rng.random() < 0.5 else other + data


def zeroes(rng: Random, data: bytes, other: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + b"\0" * rng.choice((1, 3, 1000)) + data[at:]


def junk(rng: Random, data: bytes, other: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.randbytes(rng.choice((1, 4, 300))) + data[at:]


def latin_1(rng: Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 20)) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.choice((0xE9, 0xA0, 0xFF, 0x80, 0xC3))
    return bytes(changed)


def utf_16(rng: Random, data: bytes, other: bytes) -> bytes:
    return data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")))


def line_ends(rng: Random, data: bytes, other: bytes) -> bytes:
    kinds = rng.choice(
        ((b"\r\n",), (b"\r",), (b"\n", b"\r\n", b"\r"), (b"\n\n",), (b"\n", b"\x0b", b"\x85"), (b"\n\r",))
    )
    return b"".join(line + rng.choice(kinds) for line in data.split(b"\n"))


def one_line(rng: Random, data: bytes, other: bytes) -> bytes:
    a, b = _span(rng, data, 20_000)
    return data[:a] + data[a:b].replace(b"\n", b"") * rng.choice((1, 10, 200)) + data[b:]


def long_letters(rng: Random, data: bytes, other: bytes) -> bytes:
    at = _place(rng, data)
    return (
        data[:at]
        + rng.choice((b"A", b"acgt", b" ", b"\t", b"(", b'"', b",", b"\n", b">", b"-")) * 300_000
        + data[at:]
    )


def header_only(rng: Random, data: bytes, other: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[: rng.randrange(1, 12)])


def lines_shuffled(rng: Random, data: bytes, other: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines:
        a = rng.randrange(len(lines))
        part = lines[a : a + rng.choice((2, 10, 1000))]
        rng.shuffle(part)
        lines[a : a + len(part)] = part
    return b"".join(lines)


def lines_lost(rng: Random, data: bytes, other: bytes) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if rng.random() > 0.05)


def numbers(rng: Random, data: bytes, other: bytes) -> bytes:
    found = list(re.finditer(rb"\d+", data))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 5)))), key=lambda m: -m.start()):
        data = data[: match.start()] + rng.choice(NUMBERS) + data[match.end() :]
    return data


def locus_number(rng: Random, data: bytes, other: bytes) -> bytes:
    return re.sub(rb"\d+(?= bp| aa|..BP)", lambda _: rng.choice(NUMBERS), data, count=1)


def names(rng: Random, data: bytes, other: bytes) -> bytes:
    found = list(re.finditer(rb"[A-Za-z0-9_.]{2,}", data))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 3)))), key=lambda m: -m.start()):
        data = data[: match.start()] + rng.choice(NAMES) + data[match.end() :]
    return data


def first_name(rng: Random, data: bytes, other: bytes) -> bytes:
    return re.sub(rb"(?<=^[>@])\S*", lambda _: rng.choice(NAMES), data, count=1, flags=re.MULTILINE)


def locations(rng: Random, data: bytes, other: bytes) -> bytes:
    n = rng.choice((3, 900, 5000))
    deep = rng.choice((b"complement(", b"join(", b"order(join("))
    new = rng.choice((
        deep * n + b"1..9" + b")" * n * deep.count(b"("),
        b"join(" + b",".join(b"%d..%d" % (i, i + 2) for i in range(1, n)) + b")",
        b"(" * n, b"complement(9..1", b"join(1..)", b"..", b"1..9" * n, b"one-of(1,2)..5", b"<>", b"X1:1..2",
        b"1.5", b"120..4",
    ))  # fmt: skip
    found = list(re.finditer(rb"(?<= )[a-z(]*<?\d+\.\.>?\d+\)?", data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + new + data[match.end() :]


def punctuation(rng: Random, data: bytes, other: bytes) -> bytes:
    marks = b"\"\t,;=/>@+|<&'()\\#*- \n"
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 20)) if changed else 0):
        at = rng.randrange(len(changed) + 1)
        if rng.random() < 0.5:
            changed[at:at] = bytes([rng.choice(marks)])
        elif changed:
            changed[min(at, len(changed) - 1)] = rng.choice(marks)
    return bytes(changed)


def columns(rng: Random, data: bytes, other: bytes) -> bytes:
    mark = rng.choice((b",", b"\t"))
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    n = rng.choice((1, 50, 20_000))
    lines[at] = rng.choice(
        (lines[at] + mark * n, lines[at].replace(mark, b""), b'"' + lines[at], lines[at] + mark + lines[at])
    )
    return b"\n".join(lines)


def entities(rng: Random, data: bytes, other: bytes) -> bytes:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(8)
    ) + b"]>"  # fmt: skip
    outside = b'<!DOCTYPE x [<!ENTITY i SYSTEM "file:///etc/passwd">]>'
    at = data.find(b"?>") + 2 if b"?>" in data else 0
    body = data[at:].replace(b"Cluster: ", rng.choice((b"&i;", b"&amp;", b"&#0;", b"&#x41;")), 1)
    return data[:at] + rng.choice((bomb, outside, b"<a>" * 50_000)) + body


def signs(rng: Random, data: bytes, other: bytes) -> bytes:
    """Bytes that begin files of other kinds."""
    first = (
        b"\x1f\x8b",
        b"BZh9",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"PAR1",
        b"<html>",
        b"\xff\xfe",
        b"%PDF",
        b"LOCUS  X\n",
        b"@SQ\tSN:x\n",
        b"ID   X\n",
    )
    return rng.choice(first) + data


MUTATORS: tuple[Mutator, ...] = (
    bit_flips, truncated, beheaded, cut_out, doubled, moved, spliced, appended, zeroes, junk, latin_1, utf_16,
    line_ends, one_line, long_letters, header_only, lines_shuffled, lines_lost, numbers, locus_number, names,
    first_name, locations, punctuation, columns, entities, signs,
)  # fmt: skip
