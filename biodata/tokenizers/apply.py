"""Saved tokenizers on files: ids of every record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.files import atomic_path
from biodata.progress import say
from biodata.tokenizers.load import load_tokenizer
from biodata.tokenizers.measure import Measure, warnings_of
from biodata.tokenizers.protocol import Encoded, Tokenizer
from biodata.tokenizers.rows import read_strings

SHOWN_RECORDS = 5


def encode_path(tokenizer: Path, path: Path, *, out: Path | None = None) -> dict[str, Any]:
    """Encodes every record of a file or dataset folder, between `<bos>` and `<eos>`.

    Args:
        tokenizer: folder of the tokenizer.
        path: FASTA, GenBank or Parquet file, or dataset folder (all splits).
        out: Parquet file with columns `id` and `ids` (lists of unsigned integers); `None` writes
            none and shows the first records.

    Returns:
        With `out` its `path`, `kind`, `rows`, `tokens`, `letters`, `symbols_per_token`, `unknown_rate`,
        `warnings`; without it `records`, the first five as `{id, ids, tokens}`.
    """
    loaded = load_tokenizer(tokenizer)
    if out is None:
        return {"kind": loaded.kind, "records": _first_records(loaded, path)}
    total = Measure()
    with atomic_path(out) as part:
        _write(loaded, path, part, total)
    return {"path": str(out), **_result(loaded, total)}


def _first_records(tokenizer: Tokenizer, path: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for names, rows in _named_strings(path, tokenizer.kind):
        for name, row in list(zip(names.to_pylist(), rows.to_pylist()))[: SHOWN_RECORDS - len(records)]:
            ids = tokenizer.encode(row)
            tokens = " ".join(tokenizer.tokens[i] for i in ids)
            records.append({"id": name, "ids": ids, "tokens": tokens})
        if len(records) == SHOWN_RECORDS:
            break
    return records


def _named_strings(path: Path, kind: str) -> Iterator[tuple[pa.StringArray, pa.LargeStringArray]]:
    """`read_strings`; records without an id, as those of a table may be, are called `record N`, from 1."""
    done = 0
    for names, rows in read_strings(path, kind):
        if not all(texts := names.to_pylist()):
            names = pa.array([text or f"record {done + n}" for n, text in enumerate(texts, 1)], pa.string())
        done += len(rows)
        yield names, rows


def _write(tokenizer: Tokenizer, path: Path, out: Path, total: Measure) -> None:
    value = pa.from_numpy_dtype(np.min_scalar_type(tokenizer.vocab_size - 1))
    schema = pa.schema([("id", pa.string()), ("ids", pa.large_list(value))])
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for names, rows in _named_strings(path, tokenizer.kind):
            encoded = tokenizer.encode_column(rows)
            total.add(tokenizer, rows, without_ends(encoded))
            ids = pa.LargeListArray.from_arrays(pa.array(encoded.offsets), pa.array(encoded.ids))
            writer.write_batch(pa.record_batch([names, ids], schema=schema))


def without_ends(encoded: Encoded) -> Encoded:
    """Encoded rows without their first and last id, `<bos>` and `<eos>`.

    >>> rows = without_ends(Encoded(np.array([1, 9, 2, 1, 2], np.uint8), np.array([0, 3, 5])))
    >>> rows.ids.tolist(), rows.offsets.tolist()
    ([9], [0, 1, 1])
    """
    keep = np.ones(len(encoded.ids), bool)
    keep[encoded.offsets[:-1]] = False
    keep[encoded.offsets[1:] - 1] = False
    return Encoded(encoded.ids[keep], encoded.offsets - 2 * np.arange(len(encoded.offsets)))


def _result(tokenizer: Tokenizer, total: Measure) -> dict[str, Any]:
    warnings = warnings_of(tokenizer, total)
    for warning in warnings:
        say(f"warning: {warning}")
    return {
        "kind": tokenizer.kind,
        "rows": total.rows,
        "tokens": total.tokens,
        "letters": total.letters,
        "symbols_per_token": total.symbols_per_token,
        "unknown_rate": total.unknown_rate,
        "warnings": warnings,
    }
