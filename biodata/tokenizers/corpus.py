"""The sequences a tokenizer is built from and measured on, and a reproducible sample of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import ConfigError, DataError
from biodata.tokenizers.columns import byte_lengths, chunks_of, letters_of

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

_READ_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sequences on disk, read in batches as often as needed.

    Args:
        path: a dataset folder, of which `data/train-*.parquet` is read; a Parquet file with a column
            `sequence`; or a file that `biodata.io` reads.
    """

    path: Path

    def chunks(self) -> Iterator[pa.LargeStringArray]:
        """All sequences, about a megabyte at a time.

        Raises:
            ConfigError: the path does not exist or is a folder without a training split.
            DataError: a Parquet file without sequences.
        """
        files = _parquet_files(Path(self.path))
        batches = (b for file in files for b in _parquet_columns(file, "sequence"))
        for column in batches if files else _read_columns(Path(self.path)):
            yield from chunks_of(column)

    def alphabet(self) -> str | None:
        """`dna` (RNA included) or `protein` as the dataset's first row says; `None` if it does not."""
        for file in _parquet_files(Path(self.path)):
            if "alphabet" in pq.read_schema(file).names:
                for column in _parquet_columns(file, "alphabet"):
                    if len(column):
                        name = column[0].as_py()
                        return "dna" if name == "rna" else name
        return None


def _parquet_files(path: Path) -> list[Path]:
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    files = sorted(path.glob("data/train-*.parquet"))
    if not files:
        raise ConfigError(
            f"{path} has no data/train-*.parquet (a dataset folder, a Parquet or FASTA file is needed)"
        )
    return files


def _parquet_columns(file: Path, name: str) -> Iterator[pa.Array]:
    with pq.ParquetFile(file) as parquet:
        if name not in parquet.schema_arrow.names:
            found = ", ".join(parquet.schema_arrow.names)
            raise DataError(f"no column {name!r}", where=file, hint=f"found: {found}")
        for batch in parquet.iter_batches(_READ_ROWS, columns=[name]):
            yield batch.column(0)


def _read_columns(path: Path) -> Iterator[pa.Array]:
    from biodata.io import READERS
    from biodata.io.detect import detect_format

    for batch in READERS.load(detect_format(path))(path):
        yield batch.column("sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Which part of a corpus to learn from.

    Attributes:
        letters: upper limit of letters drawn.
        piece: letters per piece.
        seed: of the draw.
    """

    letters: int
    piece: int
    seed: int

    @classmethod
    def of(cls, config: TokenizerConfig) -> Sample:
        """The sample that a configuration asks for."""
        return cls(letters=config.sample_letters, piece=config.piece_letters, seed=config.seed)

    def pieces(self, corpus: Corpus) -> Iterator[bytes]:
        """Pieces of the sequences, drawn without replacement and in the order of the data.

        Sequences are cut into consecutive pieces; if these are more than `letters // piece`, that many are
        drawn, each with equal chance. The data is read twice and never held in memory.
        """
        total = sum(int(_pieces_per_row(rows, self.piece).sum()) for rows in corpus.chunks())
        chosen = self._draw(total)
        first = 0
        for rows in corpus.chunks():
            bounds = first + np.concatenate([[0], np.cumsum(_pieces_per_row(rows, self.piece))])
            low, high = np.searchsorted(chosen, (first, bounds[-1]))
            yield from _cut(rows, chosen[low:high], bounds, self.piece)
            first = int(bounds[-1])

    def _draw(self, total: int) -> np.ndarray:
        wanted = self.letters // self.piece
        if wanted >= total:
            return np.arange(total)
        return np.sort(np.random.default_rng(self.seed).choice(total, wanted, replace=False, shuffle=False))


def _pieces_per_row(rows: pa.LargeStringArray, piece: int) -> np.ndarray:
    return -(-byte_lengths(rows) // piece)


def _cut(rows: pa.LargeStringArray, chosen: np.ndarray, bounds: np.ndarray, piece: int) -> Iterator[bytes]:
    data = letters_of(rows)
    ends = np.cumsum(byte_lengths(rows))
    row = np.searchsorted(bounds, chosen, side="right") - 1
    starts = np.concatenate([[0], ends])[row] + (chosen - bounds[row]) * piece
    for start, stop in zip(starts.tolist(), np.minimum(starts + piece, ends[row]).tolist()):
        yield data[start:stop]
