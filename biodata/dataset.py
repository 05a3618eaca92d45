"""The dataset folder of the contract: Parquet shards by split, a card, a manifest; and its reader.

`DIR/data/{train,validation,test}-0000i-of-0000n.parquet`, `DIR/README.md` with Hugging Face `configs`,
`DIR/manifest.json`. `datasets.load_dataset(DIR)`, polars and pyarrow read it with no code of ours. Equal rows
give equal bytes: rows keep their order, row groups are cut by content, not by what happened to be in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.reverse import Readings
from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from biodata.io.parquet import parquet_options
from biodata.schema import SCHEMA, SPLITS

MANIFEST = "manifest.json"
CARD = "README.md"
DATA = "data"
_ROW_BYTES = 512  # everything of a row but its sequence, roughly
_SHARD_BYTES = 256 << 20
_GROUP_BYTES = 16 << 20
_BATCH_ROWS = 4096


@dataclass(frozen=True)
class Dataset:
    """A finished dataset folder.

    Attributes:
        path: the folder.
        manifest: `manifest.json` as plain values.
    """

    path: Path
    manifest: dict[str, Any]

    @cached_property
    def splits(self) -> dict[str, int]:
        """Rows of every split."""
        return dict(self.manifest["splits"])

    @property
    def alphabet(self) -> str:
        """Alphabet of all rows."""
        return self.manifest["alphabet"]

    def files(self, split: str) -> list[Path]:
        """Parquet files of a split, in order.

        Raises:
            ConfigError: no such split.
            DataError: the manifest names a file that is not there.
        """
        if split not in SPLITS:
            raise ConfigError(f"split {split!r}, allowed: {', '.join(SPLITS)}")
        names = [entry["name"] for entry in self.manifest["files"] if entry["split"] == split]
        paths = [self.path / name for name in names]
        for path in paths:
            if not path.is_file():
                raise DataError("missing, though the manifest names it", where=path, hint="build again")
        return paths

    def table(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of a split, all columns or some.

        Raises:
            ConfigError: no such split or column.
        """
        unknown = [name for name in columns or [] if name not in SCHEMA.names]
        if unknown:
            raise ConfigError(f"no column {unknown[0]!r} (known: {', '.join(SCHEMA.names)})")
        chosen = list(columns) if columns is not None else None
        tables = [_read(path, chosen) for path in self.files(split)]
        return pa.concat_tables(tables) if tables else SCHEMA.empty_table().select(chosen or SCHEMA.names)

    def sequences(self, split: str) -> pa.ChunkedArray:
        """Sequences of a split in row order."""
        return self.table(split, ["sequence"])["sequence"]


def is_dataset(path: Path) -> bool:
    """Whether a folder holds a finished dataset."""
    return (Path(path) / MANIFEST).is_file() and (Path(path) / DATA).is_dir()


def open_dataset(path: Path | str) -> Dataset:
    """Opens a dataset folder.

    Raises:
        DataError: the folder does not exist, holds no finished dataset, or one of another schema.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such folder", where=path)
    if not (path / MANIFEST).is_file():
        hint = "make one with `seqloom data build INPUT --out DIR`"
        if (path / ".build").is_dir():
            hint = "an unfinished build: run the same `seqloom data build` again"
        raise DataError(f"no seqloom dataset: it has no {MANIFEST}", where=path, hint=hint)
    try:
        manifest = read_json(path / MANIFEST)
    except ValueError as error:
        raise DataError(f"not readable as JSON: {error}", where=path / MANIFEST) from None
    if not isinstance(manifest, dict) or not {"schema_version", "files", "splits"} <= manifest.keys():
        raise DataError("not the manifest of a seqloom dataset", where=path / MANIFEST)
    return Dataset(path, manifest)


def write_splits(
    stages: Sequence[Path],
    cluster: np.ndarray,
    split: np.ndarray,
    out: Path,
    *,
    readings: Readings | None = None,
) -> list[dict[str, Any]]:
    """Writes the shards of every split; rows with a negative split are left out.

    Args:
        stages: Parquet files of `SCHEMA`, whose rows in order are those of the arrays.
        cluster: int64 cluster of every row.
        split: number in `SPLITS` of every row.
        out: the folder for the shards (`DIR/data`).
        readings: rows that are also written read the other way, each right after itself.

    Returns:
        One entry per file: `name` relative to the dataset folder, `split`, `rows`.
    """
    lengths = np.concatenate([_lengths(path) for path in stages] or [np.zeros(0, np.int64)])
    if readings is not None:
        lengths, cluster, split = (np.repeat(x, readings.copies) for x in (lengths, cluster, split))
    shard, group = _plan(lengths, split)
    names = _names(shard, split)
    writer = _ShardWriter(out, names)
    row = 0
    try:
        for table in _stage_tables(stages, readings):
            rows = np.arange(row, row + len(table))
            row += len(table)
            for number in range(len(SPLITS)):
                writer.add(number, *_rows_of(table, rows, number, cluster, split, shard, group))
    finally:
        writer.close()
    counts = {key: int(((shard == key[1]) & (split == key[0])).sum()) for key in names}
    return [{"name": f"{DATA}/{name}", "split": SPLITS[key[0]], "rows": counts[key]}
            for key, name in names.items()]  # fmt: skip


def _lengths(path: Path) -> np.ndarray:
    return pq.read_table(path, columns=["length"])["length"].to_numpy()


def _plan(lengths: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shard number, and row-group number within its split, of every row."""
    shard, group = np.zeros(len(split), np.int64), np.zeros(len(split), np.int64)
    for number in range(len(SPLITS)):
        rows = np.flatnonzero(split == number)
        size = lengths[rows] + _ROW_BYTES
        before = np.cumsum(size) - size
        shard[rows] = before // _SHARD_BYTES
        group[rows] = before // _GROUP_BYTES
    return shard, group


def _names(shard: np.ndarray, split: np.ndarray) -> dict[tuple[int, int], str]:
    names = {}
    for number, name in enumerate(SPLITS):
        used = shard[split == number]
        # A split without rows still has a file, so that every reader knows the columns.
        numbers = np.unique(used).tolist() if len(used) else [0]
        for at, key in enumerate(numbers):
            names[number, key] = f"{name}-{at:05d}-of-{len(numbers):05d}.parquet"
    return names


def _stage_tables(stages: Sequence[Path], readings: Readings | None) -> Iterator[pa.Table]:
    first = 0
    for path in stages:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                table = pa.Table.from_batches([batch])
                yield table if readings is None else readings.expand(table, first)
                first += len(table)


def _rows_of(
    table: pa.Table, rows: np.ndarray, number: int, cluster: np.ndarray, split: np.ndarray,
    shard: np.ndarray, group: np.ndarray,
) -> tuple[pa.Table, np.ndarray, np.ndarray]:  # fmt: skip
    """The rows of one split with cluster and split filled in, their shards and row groups."""
    chosen = np.flatnonzero(split[rows] == number)
    part = table.take(pa.array(chosen))
    columns = {name: part[name] for name in part.column_names}
    columns["cluster"] = pa.chunked_array([pa.array(cluster[rows[chosen]], pa.int64())])
    columns["split"] = pa.chunked_array([pa.array([SPLITS[number]] * len(chosen), pa.string())])
    part = pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)
    return part, shard[rows[chosen]], group[rows[chosen]]


class _ShardWriter:
    """Collects rows until their row group is whole, then writes it to its shard."""

    def __init__(self, out: Path, names: dict[tuple[int, int], str]) -> None:
        self._out = out
        self._names = names
        self._open: dict[int, tuple[int, pq.ParquetWriter]] = {}
        self._held: dict[int, list[pa.Table]] = {}
        self._group: dict[int, int] = {}
        for key in names:
            if key[1] == 0:
                self._start(key)

    def add(self, number: int, table: pa.Table, shard: np.ndarray, group: np.ndarray) -> None:
        edges = np.flatnonzero(np.diff(group)) + 1
        starts = [0, *edges.tolist()]
        for start, stop in zip(starts, [*edges.tolist(), len(table)]):
            if start == stop:
                continue
            if group[start] != self._group.get(number, group[start]):
                self._flush(number)
            self._group[number] = int(group[start])
            if shard[start] != self._open[number][0]:
                self._finish(number)
                self._start((number, int(shard[start])))
            self._held.setdefault(number, []).append(table.slice(start, stop - start))

    def close(self) -> None:
        for number in list(self._open):
            self._finish(number)

    def _start(self, key: tuple[int, int]) -> None:
        number, shard = key
        path = self._out / self._names[key]
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = pq.ParquetWriter(path, SCHEMA, **parquet_options(SCHEMA))
        self._open[number] = (shard, writer)

    def _flush(self, number: int) -> None:
        held = self._held.pop(number, [])
        if held:
            table = pa.concat_tables(held).combine_chunks()
            self._open[number][1].write_table(table, row_group_size=max(1, len(table)))

    def _finish(self, number: int) -> None:
        self._flush(number)
        self._open.pop(number)[1].close()


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"damaged Parquet file: {str(error).splitlines()[0]}", where=path) from None
