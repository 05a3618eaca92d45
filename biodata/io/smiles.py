"""SMILES, one molecule a line: plain lists, `SMILES name` (ZINC's .smi) and `CID<TAB>SMILES` (PubChem)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.nested import raw_batch
from biodata.io.streams import open_binary
from biodata.read_config import ReadConfig

_BLOCK = 4 << 20
_ATOM = r"\[[^\[\]\s]{1,40}\]|Br|Cl|[BCNOSPFI]|[bcnops]"
_SMILES = re.compile(rf"(?:{_ATOM})(?:{_ATOM}|[-=#$:/\\.()+*~]|%\d\d|\d)*")
_HEADERS = ("smiles", "smiles zinc_id", "smiles name", "smiles id", "cid smiles")


def looks_like_smiles(lines: list[str]) -> bool:
    """Whether lines are molecules, with a name behind or before them, perhaps below a header.

    >>> looks_like_smiles(["CCO ethanol"]), looks_like_smiles(["ACGT"]), looks_like_smiles(["1\\tCC=O"])
    (True, False, True)
    """
    rows = [line for line in lines if line.strip()]
    if rows and " ".join(rows[0].lower().split()) in _HEADERS:
        rows = rows[1:]
    return bool(rows) and all(_column(row) is not None for row in rows[:50])


def read_smiles(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """Molecules as they stand, in SMILES; `biodata.curate.molecules` turns them into SELFIES.

    The id is the name in the line, `CID<number>` for PubChem, else empty. Which column holds the SMILES is
    decided once, by the first molecule.

    Yields:
        Batches of `RAW_SCHEMA`.

    Raises:
        DataError: another alphabet than selfies, or text that is not UTF-8.
    """
    path = Path(path)
    wanted = config.alphabet if config else alphabet
    if wanted not in (None, "selfies"):
        raise DataError("these are molecules (SMILES)", where=path, hint="--alphabet selfies")
    del log
    with open_binary(path) as stream:
        number, at, rest = 1, None, b""
        while block := stream.read(_BLOCK):
            whole, _, rest = (
                (rest + block).rpartition(b"\n") if b"\n" in rest + block else (b"", b"", rest + block)
            )
            if whole:
                batch, number, at = _parse(whole, number, at, path)
                yield from batch
        if rest:
            yield from _parse(rest, number, at, path)[0]


def _parse(
    text: bytes, first: int, at: int | None, path: Path
) -> tuple[list[pa.RecordBatch], int, int | None]:
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text near line {first}", where=path) from error
    frame = pl.DataFrame({"text": pl.Series(lines).str.strip_chars(" \t\r\ufeff"),
                          "line": np.arange(first, first + len(lines))})  # fmt: skip
    if first == 1 and frame.height and " ".join(frame["text"][0].lower().split()) in _HEADERS:
        frame = frame[1:]
    frame = frame.filter(pl.col("text") != "")
    if not frame.height:
        return [], first + len(lines), at
    if at is None:
        at = _column(frame["text"][0]) or 0
    words = frame["text"].str.replace_all(r"[\t ]+", "\t").str.splitn("\t", 2).struct
    left, right = words.field("field_0"), words.field("field_1").fill_null("")
    letters, names = (left, right) if at == 0 else (right, "CID" + left)
    batch = raw_batch({"id": names.str.split("\t").list.first(), "sequence": letters, "line": frame["line"]})
    return [batch], first + len(lines), at


def _column(row: str) -> int | None:
    """Which word of a line is the SMILES: 0, or 1 behind a number; None for neither."""
    words = row.split()
    if not words:  # a form feed only, say
        return None
    if _SMILES.fullmatch(words[0]) and len(words) <= 3:
        return 0
    if len(words) == 2 and words[0].isdigit() and _SMILES.fullmatch(words[1]):
        return 1
    return None
