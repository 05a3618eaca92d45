"""What a file is, by its content, and which files a list of inputs names."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from biodata.errors import ConfigError
from biodata.io.detect_table import UnknownFormatError, is_parquet, parquet_kind, table_kind
from biodata.io.streams import open_binary

__all__ = ["UnknownFormatError", "detect_format", "expand_inputs", "is_explicit"]

_RECORD = "fetch.json"  # what `biodata.fetch` writes beside the files
_LOOK = 1 << 16  # bytes; the release header of a GenBank division file is shorter than a page
_LOCUS = re.compile(rb"^LOCUS {2,}\S", re.MULTILINE)
_EMBL = re.compile(rb"\AID   \S.*\bBP\.", re.MULTILINE)
_FASTQ = re.compile(rb"\A@[^\n]*\n(?:[^@+\n][^\n]*)?\n(?:[^+\n][^\n]*\n)*\+")
_UNIREF = re.compile(rb"(?:\A|\n)>UniRef(?:50|90|100)_\S+ [^\n]*\bn=\d+ Tax=")
_UNIREF_XML = re.compile(rb"<UniRef[\s\d>][^<]*http://uniprot\.org/uniref")
_FASTA_COMMENT = (b";", b"#", b"!")


def detect_format(path: Path | str, *, columns: Sequence[str] = ()) -> str:
    """The format of a file of any compression, as `biodata.io.READERS` names it.

    Blank lines, a byte order mark, the comments of old FASTA dialects and the release header of a GenBank
    division file may come first. Protein GenPept is `genbank`. Tables are told by the names of their columns.

    Args:
        path: the file.
        columns: names that make any table a `table` of sequences, beside the usual ones.

    Raises:
        ConfigError: there is no such file.
        UnknownFormatError: an empty file, or none of these formats; quotes the first line.
        DataError: a damaged file or a web page.
    """
    if is_parquet(Path(path)):
        return parquet_kind(Path(path))
    with open_binary(path) as stream:
        head = stream.read(_LOOK).removeprefix(b"\xef\xbb\xbf").lstrip().replace(b"\r\n", b"\n")
    if not head:
        raise UnknownFormatError("the file is empty", where=path)
    if _EMBL.match(head):
        return "embl"
    if _is_fasta(head):
        return "uniref" if _UNIREF.search(head) else "fasta"
    if _UNIREF_XML.search(head):
        return "uniref-xml"
    if _LOCUS.search(head):
        return "genbank"
    if _FASTQ.match(head):
        return "fastq"
    return table_kind(head, Path(path), columns)


def _is_fasta(head: bytes) -> bool:
    lines = [line for line in re.split(rb"[\r\n]+", head) if line.strip()]
    text = [line for line in lines if not line.startswith(_FASTA_COMMENT)]
    return bool(text) and text[0].startswith(b">")


def expand_inputs(inputs: Iterable[str | Path]) -> list[Path]:
    """The files that inputs name, sorted by absolute path, each once.

    Args:
        inputs: files, folders (everything below them, hidden files and folders left out) and glob patterns
            (`**` goes into folders).

    Raises:
        ConfigError: an input that names no file.
    """
    found: dict[str, Path] = {}
    for entry in inputs:
        paths = [path for path in _expand(Path(entry)) if path.is_file()]
        if not paths:
            what = "an empty folder" if Path(entry).is_dir() else "no such file, folder or pattern"
            raise ConfigError(f"input {str(entry)!r}: {what}")
        for path in paths:
            found.setdefault(str(path.resolve()), path)
    return sorted(found.values(), key=os.path.abspath)


def is_explicit(path: Path, inputs: Iterable[str | Path]) -> bool:
    """Whether an input names this very file, rather than a folder or pattern that contains it."""
    return any(Path(entry).is_file() and Path(entry).resolve() == path.resolve() for entry in inputs)


def _expand(entry: Path) -> list[Path]:
    if entry.is_file():
        return [entry]
    if entry.is_dir():
        below = (path for path in entry.rglob("*") if path.is_file() and path.name != _RECORD)
        return [path for path in below if not _is_hidden(path.relative_to(entry))]
    return [Path(name) for name in glob.glob(str(entry), recursive=True) if Path(name).name != _RECORD]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
