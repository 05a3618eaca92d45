"""Megatron's indexed dataset: `.bin` with the token ids of all sequences, `.idx` that says where each begins.

Layout (little-endian, no padding) as in `megatron/core/datasets/indexed_dataset.py`: 9 bytes magic, version
1 (uint64), code of the id type (uint8), number of sequences (uint64), number of documents + 1 (uint64);
then int32 lengths in tokens, int64 positions in bytes, int64 indices of the sequences at which documents
begin.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from biodata.dataset import Dataset
from biodata.errors import DataError
from biodata.export.config import ExportConfig, filled_splits, named
from biodata.files import atomic_path, fingerprint, write_json
from biodata.progress import progress
from biodata.token_cache import split_tokens
from biodata.tokenizers.load import load_tokenizer
from biodata.tokenizers.protocol import Encoded
from biodata.tokenizers.special import EOS, PAD

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
TYPE_CODES = {
    "uint8": 1,
    "int8": 2,
    "int16": 3,
    "int32": 4,
    "int64": 5,
    "float64": 6,
    "float32": 7,
    "uint16": 8,
}
SMALL_VOCABULARY = 65_500
"""Below this Megatron's own preprocessing writes uint16, else int32 (`DType.optimal_dtype`)."""

_BLOCK_TOKENS = 1 << 22
_LONGEST = 2**31 - 1


def export_megatron(config: ExportConfig, dataset: Dataset) -> dict[str, Any]:
    """Writes `OUT_SPLIT.bin` and `OUT_SPLIT.idx`, and `OUT.json` that says what they hold.

    Each row is a document of one sequence, `<bos> ... <eos>`: `GPTDataset` joins documents into one stream of
    tokens, in which `<eos>` (id 2) is the end-of-document token to give it. The prefix for `--data-path` is
    the name without `.bin`.

    Raises:
        DataError: a row of 2^31 tokens or more.
    """
    assert config.tokenizer is not None
    tokenizer = load_tokenizer(config.tokenizer)
    dtype = np.dtype("<u2" if tokenizer.vocab_size < SMALL_VOCABULARY else "<i4")
    files, rows, tokens = [], {}, {}
    for split in filled_splits(config, dataset):
        encoded = split_tokens(dataset, split, tokenizer).encoded
        paths = [named(config.out, split, ending) for ending in (".bin", ".idx")]
        write_indexed(paths[0], paths[1], encoded, dtype=dtype)
        files += [str(path) for path in paths]
        rows[split], tokens[split] = len(encoded.offsets) - 1, len(encoded.ids)
    about = {
        "rows": rows, "tokens": tokens, "dtype": dtype.name, "vocab_size": tokenizer.vocab_size,
        "eod_id": EOS, "pad_id": PAD, "tokenizer": tokenizer.kind,
    }  # fmt: skip
    described = {"format": "megatron", "dataset": dataset.manifest.get("fingerprint"), **about}
    described["tokenizer_fingerprint"] = fingerprint([tokenizer.kind, list(tokenizer.tokens)])
    path = config.out.with_name(f"{config.out.name}.json")
    write_json(path, described)
    return {**about, "files": [*files, str(path)]}


def write_indexed(data: Path, index: Path, encoded: Encoded, *, dtype: np.dtype) -> None:
    """Writes one pair of files, the index last.

    Args:
        data: the `.bin`.
        index: the `.idx`.
        encoded: rows, each a document of one sequence.
        dtype: of the ids as written, one of `TYPE_CODES`.

    Raises:
        DataError: no tokens (an empty file cannot be mapped), or a row too long for int32.
    """
    lengths = np.diff(encoded.offsets)
    if not len(encoded.ids):
        raise DataError("no tokens to write", where=data)
    if lengths.max() > _LONGEST:
        row = int(lengths.argmax())
        raise DataError(f"row {row} has {lengths[row]:,} tokens, Megatron holds {_LONGEST:,}", where=data)
    index.unlink(missing_ok=True)  # an old index never stands beside new data
    with (
        atomic_path(data) as part,
        open(part, "wb") as handle,
        progress(f"writing {data.name}", len(encoded.ids)) as advance,
    ):
        for start in range(0, len(encoded.ids), _BLOCK_TOKENS):
            block = encoded.ids[start : start + _BLOCK_TOKENS]
            handle.write(block.astype(dtype).tobytes())
            advance(len(block))
    with atomic_path(index) as part, open(part, "wb") as handle:
        _write_index(handle, lengths, dtype)


def _write_index(handle: BinaryIO, lengths: np.ndarray, dtype: np.dtype) -> None:
    count = len(lengths)
    handle.write(MAGIC + struct.pack("<QBQQ", VERSION, TYPE_CODES[dtype.name], count, count + 1))
    handle.write(lengths.astype("<i4").tobytes())
    handle.write(((np.cumsum(lengths) - lengths) * dtype.itemsize).astype("<i8").tobytes())
    handle.write(np.arange(count + 1, dtype="<i8").tobytes())
