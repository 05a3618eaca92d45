"""Groups of sequences cut into windows of one length, equally many of each: controls for genome length and
n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.sequences.inputs import Reading, read_set

LENGTHS = (5000, 2000, 1000, 500, 300, 200, 100, 50)
"""Lengths of windows that `window = 0` tries, the longest first."""

LEAST_WINDOWS = 8
_ENDINGS = (
    ".gz", ".bz2", ".zst", ".bgz", ".fasta", ".fna", ".fa", ".ffn", ".gbff", ".gbk", ".gb", ".embl", ".fastq",
    ".fq", ".csv", ".tsv", ".parquet",
)  # fmt: skip
_KNOWN_SHARE = 0.9


class GroupName(NamedTuple):
    """A GROUP argument, taken apart."""

    parent: str
    name: str
    paths: tuple[Path, ...]

    @property
    def full(self) -> str:
        """`PARENT/NAME`, or the name alone."""
        return f"{self.parent}/{self.name}" if self.parent else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group as it was read and cut.

    Attributes:
        name: taken apart.
        sequences: how many there were.
        letters: how many in all.
        available: windows of the length used.
        windows: those that were drawn.
        sources: int64, the sequence that each of these was cut from.
    """

    name: GroupName
    sequences: int
    letters: int
    available: int
    windows: SequenceSet
    sources: np.ndarray


def parse_group(text: str) -> GroupName:
    """`PATH`, `NAME=PATH[,PATH...]` or `PARENT/NAME=PATH[,PATH...]`.

    Raises:
        ConfigError: an empty name or path.

    >>> parse_group("bacteria/ecoli=a.fa,b.fa.gz").full, parse_group("yeast.fa.gz").full
    ('bacteria/ecoli', 'yeast')
    """
    label, equals, paths = text.partition("=")
    if not equals or Path(text).exists():
        name = Path(text).name
        for ending in _ENDINGS:
            name = name.removesuffix(ending)
        return GroupName("", name or text, (Path(text),))
    parent, _, name = label.rpartition("/")
    parts = tuple(Path(p) for p in paths.split(",") if p)
    if not name or not parts:
        raise ConfigError(f"group {text!r} has no name or no path, wanted: [PARENT/]NAME=PATH[,PATH...]")
    return GroupName(parent, name, parts)


def read_groups(
    names: Sequence[GroupName], *, window: int, windows: int, seed: int, column: str = "", multiple: int = 1
) -> tuple[int, list[Group]]:
    """Reads groups and draws equally many windows of each.

    Windows follow one another from the start of each sequence without overlap; those with more than a tenth
    of letters other than A, C, G, T are left out. Where there are enough sequences, no two windows are drawn
    of one.

    Args:
        names: groups, each with its own name.
        window: letters of a window; 0 takes the longest of `LENGTHS` of which every group has enough.
        windows: so many of each group, fewer where a group has fewer.
        seed: of the draw.
        column: of tables the column of the sequences; empty takes the usual names.
        multiple: what a length taken from `LENGTHS` is cut to a multiple of.

    Returns:
        the length of the windows, and the groups.

    Raises:
        ConfigError: a file is not there.
        DataError: a group with fewer than 8 windows, or with letters that are no nucleotides.
    """
    read = [_read(name, column) for name in names]
    tried = [w // multiple * multiple for w in LENGTHS]
    length = window or next((w for w in tried if min(_count(s, w) for s in read) >= windows), tried[-1])
    cut = [_windows(s, length) for s in read]
    for name, (starts, _) in zip(names, cut):
        if len(starts) < LEAST_WINDOWS:
            raise DataError(
                f"group {name.full!r} has {len(starts)} windows of {length} letters", where=name.paths[0],
                hint=f"at least {LEAST_WINDOWS} are needed: lower --window or give more sequences",
            )  # fmt: skip
    number = min(windows, *(len(starts) for starts, _ in cut))
    groups = []
    for place, (name, sequences, (starts, sources)) in enumerate(zip(names, read, cut)):
        chosen = _draw(sources, number, seed=seed + place)
        texts = [_text(sequences, int(starts[i]), length) for i in chosen]
        groups.append(
            Group(
                name=name,
                sequences=len(sequences),
                letters=int(sequences.lengths.sum()),
                available=len(starts),
                windows=SequenceSet.from_strings(texts),
                sources=sources[chosen],
            )
        )
    return length, groups


def _read(name: GroupName, column: str) -> SequenceSet:
    texts: list[str] = []
    for path in name.paths:
        found = read_set(path, split="test", limit=0, seed=0, reading=Reading(column=column))
        texts += found.sequences.strings()
    return SequenceSet.from_strings(texts)


def _count(sequences: SequenceSet, length: int) -> int:
    return int((sequences.lengths // length).sum())


def _windows(sequences: SequenceSet, length: int) -> tuple[np.ndarray, np.ndarray]:
    """First positions in the buffer and sources of the windows that are made of known letters."""
    number = sequences.lengths // length
    sources = np.repeat(np.arange(len(sequences)), number)
    order = np.arange(len(sources)) - np.repeat(np.cumsum(number) - number, number)
    starts = sequences.starts[sources] + order * length
    unknown = np.concatenate([[0], np.cumsum(sequences.codes >= sequences.other)])
    kept = unknown[starts + length] - unknown[starts] <= (1 - _KNOWN_SHARE) * length
    return starts[kept], sources[kept]


def _draw(sources: np.ndarray, number: int, *, seed: int) -> np.ndarray:
    """Random windows, no two of one source where there are enough sources."""
    order = np.random.default_rng(seed).permutation(len(sources))
    _, first = np.unique(sources[order], return_index=True)
    chosen = order[np.sort(first)] if len(first) >= number else order
    return np.sort(chosen[:number])


def _text(sequences: SequenceSet, start: int, length: int) -> str:
    codes = sequences.codes[start : start + length]
    return np.frombuffer(b"ACGTN", dtype=np.uint8)[codes].tobytes().decode()
