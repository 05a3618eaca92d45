"""The sequences a tokenizer is built from and measured on, and a reproducible sample of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
            DataError: a file without sequences.
        """
        for batch in read_columns(self.path, ("sequence",), split="train"):
            yield from chunks_of(batch.column("sequence"))

    def alphabet(self) -> str | None:
        """`dna` (RNA included) or `protein` as the dataset's first row says; `None` if it does not."""
        for file in _parquet_files(Path(self.path), "train") or ():
            with _open(file) as parquet:
                if "alphabet" in parquet.schema_arrow.names:
                    for batch in parquet.iter_batches(1, columns=["alphabet"]):
                        name = batch.column(0)[0].as_py()
                        return "dna" if name == "rna" else name
        return None


def read_columns(
    path: Path, names: Sequence[str], *, split: str = "*", optional: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Some columns of a dataset folder, a Parquet file or a file that `biodata.io` reads.

    Args:
        path: folder or file.
        names: columns to read.
        split: of a dataset folder; `*` is all of them.
        optional: columns to read where they exist.

    Raises:
        ConfigError: the path does not exist or is a folder without such a split.
        DataError: a column is missing, or the file cannot be read.
    """
    files = _parquet_files(Path(path), split)
    if files is None:
        yield from _read_other(Path(path), names, optional)
        return
    for file in files:
        with _open(file) as parquet:
            found = parquet.schema_arrow.names
            for name in names:
                if name not in found:
                    raise DataError(f"no column {name!r}", where=file, hint=f"found: {', '.join(found)}")
            chosen = [*names, *(name for name in optional if name in found and name not in names)]
            yield from parquet.iter_batches(_READ_ROWS, columns=chosen)


def _parquet_files(path: Path, split: str) -> list[Path] | None:
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    if path.is_file():
        return [path] if path.suffix == ".parquet" else None
    files = sorted(path.glob(f"data/{split}-*.parquet"))
    if not files:
        needed = "a dataset folder, a Parquet or FASTA file is needed"
        raise ConfigError(f"{path} has no data/{split}-*.parquet ({needed})")
    return files


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise DataError("this is not a Parquet file", where=file, hint=str(error).splitlines()[0]) from error


def _read_other(path: Path, names: Sequence[str], optional: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from biodata.io import READERS
    from biodata.io.detect import detect_format

    for batch in READERS.load(detect_format(path))(path):
        found = batch.schema.names
        yield batch.select([*names, *(name for name in optional if name in found and name not in names)])


def letters_to_draw(config: TokenizerConfig) -> int:
    """Letters to learn from: as configured, else 8 million; unigram, which learns slowly, 2 million."""
    if config.sample_letters is not None:
        return config.sample_letters
    return 2_000_000 if config.kind in ("unigram", "ug") else 8_000_000


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
        return cls(letters=letters_to_draw(config), piece=config.piece_letters, seed=config.seed)

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
