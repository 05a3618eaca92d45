"""UniRef as XML: blocks of whole entries, each parsed and forgotten, so that memory does not grow.

Files have hundreds of gigabytes; what is held is one block of a few megabytes, or one entry where that is
longer. The members behind the representative, most of a file, are searched for the seed but not parsed. The
fields are those of `biodata.io.uniref`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html import unescape
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.limits import record_limit, too_long
from biodata.io.nested import label_lists, raw_batch
from biodata.io.streams import open_binary

_END = b"</entry>"
_SPACE = "{http://uniprot.org/uniref}"
_OPEN, _CLOSE = b'<UniRef xmlns="http://uniprot.org/uniref">', b"</UniRef>"
_ENTRY = re.compile(rb"<entry[\s>]")
_BLOCK = 4 << 20
_MEMBERS = re.compile(rb"(</representativeMember>)(.*?)(?=</entry>)", re.DOTALL)
_SEED = re.compile(rb'<property\s+type="isSeed"\s+value="true"')
_MEMBER_ID = re.compile(rb'<dbReference\s[^>]*?\bid="([^"]+)"')
_ROOT_END = re.compile(rb"</UniRef(?:100|90|50)?\s*>")  # files of a release name the level


def read_uniref_xml(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Reads UniRef XML (namespace http://uniprot.org/uniref) of any compression.

    An entry without a sequence, or with another number of letters than it says, is dropped
    (`uniref-no-sequence`, `uniref-length-differs`).

    Raises:
        ConfigError: there is no such file.
        DataError: XML that is damaged or breaks off, with file and line.
    """
    del alphabet
    log = log or RuleLog(file=str(path))
    with open_binary(path) as stream:
        for block, line in _blocks(stream, path):
            yield _batch(block, line, path, log)


def _blocks(stream: BinaryIO, path: Path) -> Iterator[tuple[bytes, int]]:
    """Bytes that hold whole entries, and the line they begin on."""
    pending, line, is_first = bytearray(), 1, True
    limit = record_limit()
    while data := stream.read(_BLOCK):
        overlap = len(_END) - 1
        searched = max(len(pending) - overlap, 0)
        pending += data
        cut = pending.rfind(_END, searched)
        if cut < 0:
            if len(pending) > limit:
                raise too_long("an entry", where=f"{path}:{line}")
            continue
        cut += len(_END)
        block = bytes(memoryview(pending)[:cut])
        del pending[:cut]
        begin = _start(block, path) if is_first else 0
        is_first = False
        yield block[begin:], line + block.count(b"\n", 0, begin)
        line += block.count(b"\n")
    if (is_first and not pending.strip()) or _ROOT_END.search(pending):
        return
    raise DataError("the file breaks off: no </UniRef> at its end", where=f"{path}:{line}",
                    hint="get it again")  # fmt: skip


def _start(block: bytes, path: Path) -> int:
    """Where the first entry begins, behind the XML declaration and the root."""
    first = _ENTRY.search(block)
    head = block[: first.start()] if first else b""
    if not first or b"<UniRef" not in head or b"uniprot.org/uniref" not in block[: first.start() + 512]:
        raise DataError("no <UniRef> element of http://uniprot.org/uniref", where=path,
                        hint="is this UniRef XML?")  # fmt: skip
    return first.start()


def _batch(block: bytes, line: int, path: Path, log: RuleLog) -> pa.RecordBatch:
    starts = [match.start() for match in _ENTRY.finditer(block)]
    breaks = (block.count(b"\n", a, b) for a, b in zip([0, *starts], starts))
    lines = [*accumulate(breaks, initial=line)][1:]
    seeds = [_seed(block[a:b]) for a, b in pairwise([*starts, len(block)])]
    # as many lines as before, for the messages
    heads = _MEMBERS.sub(lambda match: match[1] + b"\n" * match[2].count(b"\n"), block)
    try:
        root = ElementTree.fromstring(b"".join([_OPEN, heads, _CLOSE]))
    except ElementTree.ParseError as error:
        at = line + error.position[0] - 1
        raise DataError(
            f"damaged XML ({error.msg.partition(chr(58))[0]})", where=f"{path}:{at}", hint="get it again"
        ) from error
    entries = [node for node in root if node.tag == f"{_SPACE}entry"]
    if len(entries) != len(starts):
        raise DataError("entries inside entries", where=f"{path}:{line}", hint="is this UniRef XML?")
    rows = [_row(node, at, seed, log) for node, at, seed in zip(entries, lines, seeds)]
    return _table([row for row in rows if row])


def _row(entry: Any, line: int, seed: str | None, log: RuleLog) -> dict[str, Any] | None:
    """The fields of one entry; `None` if it is dropped."""
    name = entry.get("id", "")
    about = {p.get("type"): p.get("value") for p in entry.findall(f"{_SPACE}property")}
    main = entry.find(f"{_SPACE}representativeMember")
    node = None if main is None else main.find(f"{_SPACE}sequence")
    letters = "" if node is None else "".join((node.text or "").split())
    if node is None or not letters:
        log.drop("uniref-no-sequence", name, lines=line, detail="no sequence of the representative")
        return None
    if node.get("length", "") not in ("", str(len(letters))):
        log.drop("uniref-length-differs", name, lines=line,
                 detail=f"{len(letters)} letters, the entry says {node.get('length')}")  # fmt: skip
        return None
    taxon = about.get("common taxon ID") or ""
    size = about.get("member count") or ""
    return {
        "id": name,
        "sequence": letters,
        "description": (entry.findtext(f"{_SPACE}name") or "").strip().removeprefix("Cluster: "),
        "line": line,
        "organism": about.get("common taxon"),
        "taxon_id": int(taxon) if taxon.isdecimal() and len(taxon) <= 18 else None,
        "cluster_size": float(size) if size.isdecimal() and len(size) <= 18 else None,
        "representative": _member(main),
        "updated": entry.get("updated"),
        "seed": seed,
    }


def _member(node: Any) -> str | None:
    """The id of a member, as `RepID=` in the FASTA header."""
    reference = node.find(f"{_SPACE}dbReference")
    return None if reference is None else reference.get("id")


def _seed(entry: bytes) -> str | None:
    """The id of the member that is marked as the seed."""
    found = _SEED.search(entry)
    if not found:
        return None
    before = [match[1] for match in _MEMBER_ID.finditer(entry, 0, found.start())]
    return unescape(before[-1].decode("utf-8", "replace")) if before else None


def _table(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    kinds = {"line": pl.Int64, "taxon_id": pl.Int64, "cluster_size": pl.Float64}
    names = ("id", "sequence", "description", "line", "organism", "taxon_id")
    labels = ("cluster_size", "representative", "updated", "seed")
    column = {n: pl.Series([r[n] for r in rows], dtype=kinds.get(n, pl.String)) for n in (*names, *labels)}
    found = label_lists(len(rows), [(name, column[name]) for name in labels])
    return raw_batch({name: column[name] for name in names} | {"labels": found})
