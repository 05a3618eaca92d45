"""One case of the fuzz run: a number says which file is spoilt how, packed how and read how."""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import zstandard

from tests.fuzz.mutate import MUTATORS
from tests.fuzz.seeds import made, real

WAYS = ("read", "read", "forced", "steps")
"""As the format that is found; as that of the seed whatever is found; with all curation of rows behind it."""
_BOMB = 24 << 20  # bytes; the record limit of the runs is smaller
_ALPHABETS = {
    "tcrdb": "protein",
    "vdjdb": "protein",
    "uniref": "protein",
    "uniref-xml": "protein",
    "smiles": "selfies",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried.

    Attributes:
        number: makes everything else.
        format: of the file before it was spoilt.
        name: under which it is written.
        data: its bytes.
        way: one of `WAYS`.
        alphabet: that is asked for.
        take: records or coding sequences.
        logged: whether the reader has a book, or must stop at the first bad record.
        story: what was done, for people.
        is_bomb: whether it is much longer than it looks.
    """

    number: int
    format: str
    name: str
    data: bytes
    way: str
    alphabet: str
    take: str
    logged: bool
    story: str
    is_bomb: bool


def case(number: int, *, with_real: bool = True) -> Case:
    """The case of a number; the same with the same real files."""
    rng = Random(number)
    kinds = sorted({kind for kind, _, _ in made()})
    kind = kinds[number % len(kinds)]
    pool = [seed for seed in made() + (real() if with_real else ()) if seed[0] == kind]
    _, name, data = pool[0] if rng.random() < 0.3 else rng.choice(pool)
    story = [name]
    if rng.random() < 0.004:
        data, packing = _bomb(
            rng.choice((b"A", b"\0", b"\n", b">a\n", b" ", b"ACGT\n")), rng.choice((b"", data[:200]))
        )
        story = ["bomb", packing]
    else:
        for mutate in rng.choices(MUTATORS, k=rng.choice((1, 1, 1, 2, 3))):
            data = mutate(rng, data, rng.choice(made())[2])
            story.append(mutate.__name__)
        data, packing = _packed(rng, data)
        story.append(packing)
    alphabet = (
        _ALPHABETS.get(kind, "dna")
        if rng.random() < 0.8
        else rng.choice(("dna", "rna", "protein", "selfies"))
    )
    take = "cds" if alphabet in ("dna", "rna") and rng.random() < 0.4 else "records"
    suffix = rng.choice((".fa", ".gb", ".csv", ".gz", ".txt", "", ".parquet"))
    return Case(
        number=number, format=kind, name=f"case-{number}{suffix}", data=data, way=rng.choice(WAYS),
        alphabet=alphabet, take=take, logged=rng.random() < 0.8, story=" + ".join(story),
        is_bomb=story[0] == "bomb",
    )  # fmt: skip


def _packed(rng: Random, data: bytes) -> tuple[bytes, str]:
    how = rng.choice(("plain",) * 12 + ("gzip", "bz2", "zstd", "members", "mixed"))
    if how == "plain":
        return data, how
    half = len(data) // 2
    packed = {
        "gzip": lambda: gzip.compress(data, 1, mtime=0),
        "bz2": lambda: bz2.compress(data, 1),
        "zstd": lambda: zstandard.compress(data, 1),
        "members": lambda: gzip.compress(data[:half], 1, mtime=0) + gzip.compress(data[half:], 1, mtime=0),
        "mixed": lambda: gzip.compress(data[:half], 1, mtime=0) + bz2.compress(data[half:], 1),
    }[how]()
    damage = rng.choice(("whole", "whole", "cut", "flipped", "tail"))
    if damage == "cut":
        packed = packed[: rng.randrange(len(packed))]
    elif damage == "flipped":
        changed = bytearray(packed)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        packed = bytes(changed)
    elif damage == "tail":
        packed += rng.choice((b"\0" * 512, b"garbage", packed[:10]))
    return packed, f"{how} ({damage})"


@lru_cache(maxsize=4)
def _bomb(filling: bytes, head: bytes) -> tuple[bytes, str]:
    plain = head + filling * (_BOMB // len(filling))
    return gzip.compress(plain, 1, mtime=0), f"{len(plain) >> 20} MiB of {filling!r} in gzip"
