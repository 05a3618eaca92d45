"""Molecules in SELFIES (doi:10.1088/2632-2153/aba947), from SMILES; what cannot be converted is listed."""

from __future__ import annotations

import pyarrow as pa

from biodata.alphabet import SELFIES
from biodata.curate.labels import concat_lists
from biodata.curate.rules import RuleLog
from biodata.errors import require
from biodata.schema import LABEL_TYPE


def to_selfies(batch: pa.RecordBatch, *, log: RuleLog) -> pa.RecordBatch:
    """The rows with SMILES turned into SELFIES; each keeps its SMILES as the label `smiles`.

    Strict: SELFIES that would not give the molecule back, for example an atom with more bonds than the
    library's default constraints allow, are not made. Dropped and listed: `no-selfies`, with the
    library's reason and the molecule; `empty`.

    Args:
        batch: `RAW_SCHEMA` with SMILES as sequences.
        log: the book of the file.

    Raises:
        MissingExtraError: the library `selfies` is not installed.

    >>> from biodata.io.nested import raw_batch
    >>> log = RuleLog(file="x.smi")
    >>> rows = raw_batch({"id": pa.array(["a", "b"]), "sequence": pa.array(["C=O", "C(C"]), })
    >>> to_selfies(rows, log=log)["sequence"].to_pylist(), log.as_dict()["dropped"]
    (['[C][=O]'], {'no-selfies': 1})
    """
    texts, problems = smiles_to_selfies(batch["sequence"].to_pylist())
    broken = pa.array([bool(problem) for problem in problems], pa.bool_())
    empty = pa.array([not text and not problem for text, problem in zip(texts, problems)], pa.bool_())
    for rule, rows in (("no-selfies", broken), ("empty", empty)):
        if rows.true_count:
            details = [p for p, bad in zip(problems, rows.to_pylist()) if bad]
            log.drop(rule, batch["id"].filter(rows), lines=batch["line"].filter(rows), detail=details)
    keep = pa.array([bool(text) for text in texts], pa.bool_())
    rows = _with(batch, "labels", _with_smiles(batch))
    return _with(rows, "sequence", pa.array(texts, pa.large_string())).filter(keep)


def smiles_to_selfies(smiles: list[str]) -> tuple[list[str], list[str]]:
    """SELFIES of molecules, empty where there is none, and why: the library's reason and the molecule.

    Raises:
        MissingExtraError: the library `selfies` is not installed.

    >>> smiles_to_selfies(["C=O", "C(C"])
    (['[C][=O]', ''], ['', 'failed to parse input: C(C'])
    """
    library = require("selfies", extra="molecules")
    texts, problems = [], []
    for text in smiles:
        try:
            bare = text.strip()
            texts.append((library.encoder(bare) or "") if bare else "")
            problems.append("")
        except library.EncoderError as error:
            texts.append("")
            problems.append(f"{_reason(error)}: {text[:80]}")
    return texts, problems


def check_selfies(batch: pa.RecordBatch, *, log: RuleLog) -> pa.RecordBatch:
    """The rows that are SELFIES; others are dropped as `invalid-letter`, ones without symbols as `empty`."""
    texts = batch["sequence"].to_pylist()
    wrong = ["".join(sorted(SELFIES.invalid_symbols(text)))[:20] for text in texts]
    for rule, rows in (("invalid-letter", [bool(w) for w in wrong]), ("empty", [not t for t in texts])):
        if any(rows):
            mask = pa.array(rows)
            details = [f"not SELFIES: {w!r}" if w else "" for w, bad in zip(wrong, rows) if bad]
            log.drop(rule, batch["id"].filter(mask), lines=batch["line"].filter(mask), detail=details)
    keep = [bool(text) and not w for text, w in zip(texts, wrong)]
    return batch if all(keep) else batch.filter(pa.array(keep))


def _reason(error: Exception) -> str:
    """The library's message in one line, without the molecule."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("SMILES:", "Index:"))]
    return "; ".join(kept)[:200] or type(error).__name__


def _with(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    at = batch.schema.get_field_index(name)
    return batch.set_column(at, batch.schema.field(at), column)


def _with_smiles(batch: pa.RecordBatch) -> pa.Array:
    n = batch.num_rows
    arrays = [
        pa.repeat(pa.scalar("smiles"), n),
        pa.nulls(n, pa.float64()),
        batch["sequence"].cast(pa.string()),
    ]
    flat = pa.StructArray.from_arrays(arrays, fields=list(LABEL_TYPE))
    own = pa.ListArray.from_arrays(pa.array(range(n + 1), pa.int32()), flat)
    return own if batch["labels"].null_count == n else concat_lists(batch["labels"], own)
