"""Source names such as `refseq:viral`, and where fetched files are kept when nobody says."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from biodata.sources import SOURCES
from biodata.sources.protocol import Source

_NAME = re.compile(r"[a-z][a-z0-9_-]*(:[A-Za-z0-9_.+-]*){0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceName:
    """`refseq:viral:genomic.gbff` taken apart.

    Attributes:
        source: the archive.
        part: one of its parts, empty if it has none.
        what: one of its kinds; empty where the name does not say.
    """

    source: Source
    part: str
    what: str

    def with_kind(self, alphabet: str = "", take: str = "") -> SourceName:
        """The same with a kind: its own, else the one that a build of `alphabet` wants, else the default."""
        kind = self.source.kind_for(alphabet, take) if alphabet else next(iter(self.source.kinds))
        return SourceName(source=self.source, part=self.part, what=self.what or kind)

    def __str__(self) -> str:
        return f"{self.source.name}:{self.part}" if self.part else self.source.name


def parse_name(text: str, *, what: str = "") -> SourceName:
    """A source name, checked.

    Args:
        text: `SOURCE`, `SOURCE:PART` or `SOURCE:PART:KIND`.
        what: the kind if the name has none; empty leaves it open.

    Raises:
        ConfigError: an unknown source, part or kind, with the known ones.

    >>> name = parse_name("refseq:viral:protein")
    >>> str(name), name.what
    ('refseq:viral', 'protein')
    >>> parse_name("refseq:virus")
    Traceback (most recent call last):
    biodata.errors.ConfigError: refseq has no part 'virus', did you mean 'viral'? (known: archaea, bacteria, \
complete, fungi, invertebrate, mitochondrion, other, plant, plasmid, plastid, protozoa, \
vertebrate_mammalian, vertebrate_other, viral)
    """
    word, part, kind = [*text.split(":", 2), "", ""][:3]
    source: Source = SOURCES.load(word)
    if part or source.parts:
        _check(f"{word} has no part", part, sorted(source.parts))
    if kind := kind or what:
        _check(f"{word} has no kind", kind, list(source.kinds))
    return SourceName(source=source, part=part, what=kind)


def is_source_name(text: str) -> bool:
    """Whether an input names a source rather than a file: a known word, then nothing or `:PART`.

    A file or folder of the same name goes first.

    >>> is_source_name("refseq:viral"), is_source_name("reads.fa"), is_source_name("C:/reads.fa")
    (True, False, False)
    """
    if os.path.exists(text) or not _NAME.fullmatch(text):
        return False
    return text.partition(":")[0] in SOURCES or (":" in text and not os.path.splitext(text)[1])


def cache_root() -> Path:
    """`SEQLOOM_CACHE`, else `~/.cache/seqloom`."""
    return Path(os.environ.get("SEQLOOM_CACHE") or Path.home() / ".cache" / "seqloom").expanduser()


def cache_folder(name: SourceName) -> Path:
    """Where the files of a source with a kind are kept: `archives/SOURCE-PART-KIND` in the cache."""
    return cache_root() / "archives" / "-".join(filter(None, (name.source.name, name.part, name.what)))


def source_names() -> list[str]:
    """Every name that `parse_name` takes, without kinds."""
    found = []
    for word in SOURCES:
        parts = SOURCES.load(word).parts
        found += [f"{word}:{part}" for part in parts] or [word]
    return found


def describe_sources() -> list[dict[str, Any]]:
    """What is known of every source, without asking the network."""
    found = []
    for word in SOURCES:
        source: Source = SOURCES.load(word)
        names = [f"{word}:{part}" for part in source.parts] or [word]
        found.append({"source": word, "title": source.title, "names": names, "kinds": list(source.kinds),
                      "size": source.size, "licence": source.licence, "home": source.home,
                      "citation": source.citation})  # fmt: skip
    return found


def _check(problem: str, value: str, known: list[str]) -> None:
    if value in known:
        return
    near = get_close_matches(value, known, n=1)
    guess = f", did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{problem} {value!r}{guess} (known: {', '.join(known) or 'none'})")
