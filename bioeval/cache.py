"""Embeddings kept by content: what was computed once is never computed again, and never confused.

A folder for each `Embedder.key`, Parquet files of rows (sequence checksum, vector) inside. A file appears
whole or not at all and its name is its own, so a stopped run continues and two processes may fill one folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import DataError
from biodata.files import atomic_path
from biodata.progress import progress
from biodata.schema import checksum
from bioeval.protocols import Embedder

_LETTERS_PER_FILE = 2_000_000
_ROWS_PER_FILE = 4096


def cache_root() -> Path:
    """`SEQLOOM_CACHE`, else `~/.cache/seqloom`."""
    return Path(os.environ.get("SEQLOOM_CACHE") or Path.home() / ".cache" / "seqloom").expanduser()


class EmbeddingCache:
    """Vectors on disk by embedder and sequence.

    Args:
        folder: where; `None` takes `cache_root()/embeddings`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_root() / "embeddings"

    def embed(self, embedder: Embedder, sequences: Sequence[str]) -> np.ndarray:
        """`embedder.embed(sequences)`, only for distinct sequences that are not there yet.

        Raises:
            DataError: a cache file is damaged, or the embedder returns another shape or values that are no
                finite numbers.
        """
        sums = [checksum(s) for s in sequences]
        wanted = dict(zip(sums, sequences))
        have = self._read(embedder.key, set(wanted))
        missing = {c: s for c, s in wanted.items() if c not in have}
        with progress(f"embedding with {embedder.name}", len(missing)) as advance:
            for block in _blocks(missing):
                vectors = checked_vectors(embedder, [missing[c] for c in block])
                self._write(embedder, block, vectors)
                have.update(zip(block, vectors))
                advance(len(block))
        return np.stack([have[c] for c in sums]) if sums else np.zeros((0, 0), np.float32)

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _read(self, key: str, wanted: set[str]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for path in sorted(self._path(key).glob("*.parquet")):
            try:
                table = pq.read_table(path)
            except (pa.ArrowInvalid, OSError) as error:
                hint = "delete the file; it will be made again"
                raise DataError(f"damaged cache file: {error}", where=path, hint=hint) from error
            matrix = _matrix(table.column("embedding").combine_chunks())
            for c, row in zip(table.column("checksum").to_pylist(), matrix):
                if c in wanted:
                    found[c] = row
        return found

    def _write(self, embedder: Embedder, sums: Sequence[str], vectors: np.ndarray) -> None:
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        meta = {"seqloom.embedder": embedder.name, "seqloom.embedding_key": embedder.key}
        table = pa.table({"checksum": pa.array(sums), "embedding": values}).replace_schema_metadata(meta)
        name = hashlib.sha256("".join(sums).encode()).hexdigest()[:24]
        # The process id keeps two writers of the same rows apart; rows written twice are equal.
        with atomic_path(self._path(embedder.key) / f"{name}-{os.getpid()}.parquet") as part:
            pq.write_table(table, part, compression="zstd")


def checked_vectors(embedder: Embedder, sequences: Sequence[str]) -> np.ndarray:
    """`embedder.embed(sequences)` as float32 `[n, d]`, refused where it is anything else.

    Raises:
        DataError: naming the embedder and the shape, or the first sequence with a value that is not finite.
    """
    vectors = np.asarray(embedder.embed(sequences))
    if vectors.ndim != 2 or len(vectors) != len(sequences) or vectors.shape[1] == 0:
        hint = f"[{len(sequences)}, d] expected"
        raise DataError(f"embeddings have shape {list(vectors.shape)}", where=embedder.name, hint=hint)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        which = sequences[int(np.argmin(finite))]
        text = (
            f"embedding of {which[:20]!r}... ({len(which)} letters) holds values that are no finite numbers"
        )
        raise DataError(text, where=embedder.name)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _blocks(missing: dict[str, str]) -> Iterator[list[str]]:
    block: list[str] = []
    letters = 0
    for key, sequence in missing.items():
        block.append(key)
        letters += len(sequence)
        if letters >= _LETTERS_PER_FILE or len(block) >= _ROWS_PER_FILE:
            yield block
            block, letters = [], 0
    if block:
        yield block


def _matrix(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), array.type.list_size)
