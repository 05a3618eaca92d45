"""Files on this machine: what they are called, what they hold, and their checksums."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.fetch.origin import Origins
from biodata.files import sha256_file
from biodata.io.detect import UnknownFormatError, detect_format, expand_inputs, is_explicit


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One input file.

    Attributes:
        path: where it is; not part of any output.
        name: its path relative to the folder that all inputs share, with `/`.
        size: bytes, as stored (compressed).
        sha256: of the bytes as stored.
        format: as `detect_format` names it.
        origin: what `fetch.json` says of it, if it was fetched: `url`, `archive`, `release`, `licence`, ...
    """

    path: Path
    name: str
    size: int
    sha256: str
    format: str
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_accessions(self) -> bool:
        """Whether equal ids in other files of its archive are the same record."""
        return bool(self.origin.get("accessions"))

    def as_dict(self) -> dict[str, Any]:
        """What outputs say about the file: everything but the path; `url` is `None` unless it was fetched."""
        about = {"name": self.name, "url": None, "size": self.size, "sha256": self.sha256}
        return about | {"format": self.format} | dict(self.origin)


def find_files(
    inputs: Sequence[str], *, log: RuleLog, drop_bad: bool = False, columns: Sequence[str] = ()
) -> list[SourceFile]:  # fmt: skip
    """The readable files that inputs name, in the order of their paths.

    A file of unknown format that was found in a folder or by a pattern is counted (`unknown-format`); one
    that was named is an error.

    Args:
        inputs: files, folders and patterns, as `biodata.io.detect.expand_inputs` takes them.
        log: the book for files that are left out.
        columns: names that make any table one of sequences (`biodata.io.detect.detect_format`).
        drop_bad: also count instead of failing for damaged files (`bad-file`) and named unknown ones.

    Raises:
        ConfigError: an input that names no file.
        DataError: a file that is damaged, of unknown format or changed since it was fetched.
    """
    paths = expand_inputs(inputs)
    shared = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    found, origins = [], Origins()
    for path in paths:
        name = path.absolute().relative_to(shared).as_posix()
        try:
            kind = detect_format(path, columns=columns)
        except DataError as error:
            unknown = isinstance(error, UnknownFormatError)
            if not drop_bad and (not unknown or is_explicit(path, inputs)):
                raise
            log.file = name
            what = str(error).removeprefix(f"{path}: ")
            log.drop("unknown-format" if unknown else "bad-file", None, detail=what)
            continue
        size, digest = path.stat().st_size, sha256_file(path)
        origin = origins.of(path, sha256=digest)
        found.append(SourceFile(path=path, name=name, size=size, sha256=digest, format=kind, origin=origin))
    return found
