"""What is fetched: the configuration of `biodata.fetch.fetch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from biodata.errors import ConfigError
from biodata.fetch.names import cache_folder, parse_name
from biodata.fetch.web import mirrors_from


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchConfig:
    """What is fetched, and from where.

    >>> FetchConfig(sources=("uniref:50",), limit=-1)
    Traceback (most recent call last):
    biodata.errors.ConfigError: limit is -1, allowed: 0 (all) or more
    """

    sources: tuple[str, ...] = field(
        default=(), metadata={"help": "SOURCE:PART, for example refseq:viral; see `seqloom data sources`"}
    )
    what: str = field(
        default="", metadata={"help": "kind of file, for example genomic.gbff; default: the source's first"}
    )
    limit: int = field(default=0, metadata={"help": "only the first N files of each source; 0 for all"})
    max_bytes: int = field(
        default=0, metadata={"help": "only as many files as fit into N bytes in all; 0 for all"}
    )
    select: tuple[str, ...] = field(
        default=(), metadata={"help": "NAME=VALUE, for sources that choose files by what is said of them"}
    )
    addresses: Path | None = field(
        default=None,
        metadata={"help": "file with the archive's addresses, for example its bulk_download.sh"},
    )
    mirror: tuple[str, ...] = field(
        default=(),
        metadata={"help": "OLD=NEW, address of a mirror for the begin of the publisher's; "
                  "also SEQLOOM_MIRRORS"},
    )  # fmt: skip
    tries: int = field(default=6, metadata={"help": "attempts without progress before giving up"})
    timeout: float = field(
        default=60.0, metadata={"help": "seconds without a byte until a connection is cut"}
    )
    overwrite: bool = field(
        default=False, metadata={"help": "replace files that were fetched from an earlier release"}
    )

    def __post_init__(self) -> None:
        for text in self.sources:
            parse_name(text, what=self.what)
        for name, least in (("limit", 0), ("max_bytes", 0), ("tries", 1)):
            if (value := getattr(self, name)) < least:
                allowed = "0 (all) or more" if least == 0 else "1 or more"
                raise ConfigError(f"{name} is {value}, allowed: {allowed}")
        if not self.timeout > 0:
            raise ConfigError(f"timeout is {self.timeout}, allowed: seconds above 0")
        object.__setattr__(self, "select", _with_commas(self.select))
        if bad := [text for text in self.select if not all(text.partition("="))]:
            raise ConfigError(f"select is {bad[0]!r}, allowed: NAME=VALUE")
        if self.addresses is not None and not Path(self.addresses).is_file():
            raise ConfigError(f"addresses is {str(self.addresses)!r}: no such file")
        mirrors_from(self.mirror)


def _with_commas(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Joins again what the command line took apart at a comma: what has no `=` belongs to the value before.

    >>> _with_commas(("tranche=AA", "BB", "Study=x"))
    ('tranche=AA,BB', 'Study=x')
    """
    found: list[str] = []
    for text in texts:
        if found and "=" not in text:
            found[-1] += f",{text}"
        else:
            found.append(text)
    return tuple(found)


def fetch_folder(config: FetchConfig, out: Path | None) -> Path:
    """The folder that was asked for, else the one in the cache, which takes whole sources only.

    Raises:
        ConfigError: several sources or a part of one, and no folder.
    """
    if out is not None:
        return Path(out)
    if not config.sources:
        raise ConfigError("no source, allowed: names such as refseq:viral (see `seqloom data sources`)")
    if len(config.sources) != 1:
        raise ConfigError(f"{len(config.sources)} sources and no --out: name the folder they go to")
    if config.limit or config.max_bytes or config.select or config.addresses:
        raise ConfigError("a part of a source and no --out: name the folder, the cache is for whole sources")
    name = parse_name(config.sources[0], what=config.what)
    return cache_folder(name.with_kind())
