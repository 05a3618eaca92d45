"""The strings that a tokenizer reads from rows of data: sequences, or text and sequence for a joint one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import DataError
from biodata.tokenizers.columns import byte_lengths, chunks_of
from biodata.tokenizers.corpus import letters_to_draw, read_columns

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

JOINT = "joint"
TAGS = {"dna": "dna", "rna": "dna", "protein": "protein"}


def columns_of(kind: str) -> tuple[str, ...]:
    """Columns of a dataset that a kind reads: `sequence`, and for `joint` also its alphabet and text."""
    return ("sequence", "alphabet", "text") if kind == JOINT else ("sequence",)


def strings_of(kind: str, table: pa.Table | pa.RecordBatch) -> pa.ChunkedArray:
    """What a kind of tokenizer reads from rows.

    A joint tokenizer reads `<text>...</text>` where the row has a text, then the sequence between `<dna>`
    (RNA too) or `<protein>`. Without a column `alphabet` the sequence is read as it stands, boundaries
    included.

    Args:
        kind: name in the catalog.
        table: rows with the columns of `columns_of`; `alphabet` and `text` may be missing.

    Raises:
        DataError: a joint tokenizer and another alphabet.

    >>> rows = pa.table({"sequence": ["AC", "MK"], "alphabet": ["dna", "protein"], "text": ["a b", None]})
    >>> strings_of("joint", rows).to_pylist()
    ['<text>a b</text><dna>AC</dna>', '<protein>MK</protein>']
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    sequence = table["sequence"].cast(pa.large_string())
    if kind != JOINT or "alphabet" not in table.column_names:
        return sequence
    opened, closed = _tags(table["alphabet"])
    parts = [opened, sequence, closed]
    if "text" in table.column_names:
        parts.insert(0, _texts(table["text"].cast(pa.large_string())))
    return pc.call_function("binary_join_element_wise", [*parts, pa.scalar("", pa.large_string())])


def _texts(text: pa.ChunkedArray) -> pa.ChunkedArray:
    around = [pa.scalar(part, pa.large_string()) for part in ("<text>", "</text>", "")]
    joined = pc.call_function("binary_join_element_wise", [around[0], text, around[1], around[2]])
    return pc.call_function("coalesce", [joined, pa.scalar("", pa.large_string())])


def _tags(alphabet: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    encoded = alphabet.combine_chunks().dictionary_encode()
    for name in encoded.dictionary.to_pylist():
        if name not in TAGS:
            raise DataError(f"alphabet {name!r} for a joint tokenizer", hint="allowed: dna, rna, protein")
    columns = []
    for form in ("<{}>", "</{}>"):
        names = [form.format(TAGS[name]) for name in encoded.dictionary.to_pylist()]
        columns.append(pa.chunked_array([pa.array(names, pa.large_string()).take(encoded.indices)]))
    return columns[0], columns[1]


def read_strings(
    path: Path, kind: str, *, split: str = "*"
) -> Iterator[tuple[pa.StringArray, pa.LargeStringArray]]:
    """Ids and strings of a dataset folder, a Parquet file or a file that `biodata.io` reads.

    Args:
        path: folder or file.
        kind: name of the tokenizer kind in the catalog.
        split: of a dataset folder; `*` is all of them.

    Raises:
        ConfigError, DataError: see `read_columns`.
    """
    for batch in read_columns(path, ("id", "sequence"), split=split, optional=columns_of(kind)):
        strings = strings_of(kind, batch).combine_chunks()
        yield batch.column("id").cast(pa.string()), strings


def training_strings(path: Path, kind: str) -> Iterator[pa.LargeStringArray]:
    """The strings of the training split, about a megabyte at a time."""
    for batch in read_columns(path, ("sequence",), split="train", optional=columns_of(kind)):
        yield from chunks_of(strings_of(kind, batch))


def sampled_texts(config: TokenizerConfig) -> Iterator[str]:
    """Texts of the training rows to learn from: column `text`, where it is null or missing `description`.

    If they are more than `sample_letters` bytes, each row is kept with the same chance, drawn by the seed.

    Raises:
        DataError: no text at all.
    """
    total = sum(int(byte_lengths(texts).sum()) for texts in _training_texts(config.data))
    if not total:
        hint = "a joint tokenizer learns from the column text, else description"
        raise DataError("no text in the training rows", where=config.data, hint=hint)
    chance = min(1.0, letters_to_draw(config) / total)
    random = np.random.default_rng(config.seed)
    for texts in _training_texts(config.data):
        kept = random.random(len(texts)) < chance
        yield from texts.filter(pa.array(kept)).to_pylist()


def _training_texts(path: Path) -> Iterator[pa.LargeStringArray]:
    names: Sequence[str] = ("text", "description")
    for batch in read_columns(path, (), split="train", optional=names):
        columns = [batch.column(n).cast(pa.large_string()) for n in names if n in batch.schema.names]
        if columns:
            yield pc.call_function("coalesce", [*columns, pa.scalar("", pa.large_string())])
