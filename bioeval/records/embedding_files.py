"""Files of embeddings: Parquet, `.npz` and `.npy`, each with what it is, and reading them back.

.parquet  id, checksum (of the sequence), `embedding` (float32 list of fixed size; a list of these where
          there is one a token or unit), or a column `layer_0` ... for each layer; metadata `seqloom`
.npz      id, checksum, embedding [n, d] or [n, layers, d], about (JSON); one a token or unit: [rows, d]
          and offsets [n + 1]
.npy      [n, d] or [n, layers, d]; the rest in NAME.npy.json beside it
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path, read_json, write_json
from biodata.schema import checksum
from bioeval.records.row_files import RowFile, row_file

SUFFIXES = (".parquet", ".npz", ".npy")
_HINT = "seqloom embed writes such files"
_TO_DO = "or give a .parquet file with the columns sequence and embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a row of the file is.

    Attributes:
        layers: in a row, one behind the other.
        many: whether a sequence has several rows of numbers: one for each token or unit.
    """

    layers: int = 1
    many: bool = False


class EmbeddingFile(Protocol):
    """Takes embeddings in order."""

    def write(self, ids: Sequence[str], sequences: Sequence[str], rows: Sequence[np.ndarray]) -> None:
        """Appends some rows.

        Args:
            ids: of the records.
            sequences: of the same records.
            rows: float32 `[layers * d]`, or `[t, layers * d]`, of each.
        """
        ...


@contextmanager
def embedding_file(path: Path, form: Form, about: Mapping[str, Any]) -> Iterator[EmbeddingFile]:
    """A file that is there, whole, when the block has ended well; `.npz` and `.npy` are held in memory.

    Args:
        path: its suffix is one of `SUFFIXES`.
        form: of the rows.
        about: what they are; kept in the file.

    Raises:
        ConfigError: `.npy` for several rows a sequence, for an array cannot say where one ends.
    """
    if form.many and path.suffix == ".npy":
        raise ConfigError(f"out = {str(path)!r} cannot hold one row a residue: give .parquet or .npz")
    if path.suffix == ".parquet":
        with row_file(path, about) as rows:
            yield _Table(rows, form)
        return
    held = _Held()
    yield held
    held.save(path, form, about)


class _Table:
    def __init__(self, rows: RowFile, form: Form) -> None:
        self.rows, self.form = rows, form

    def write(self, ids: Sequence[str], sequences: Sequence[str], rows: Sequence[np.ndarray]) -> None:
        columns = {"id": pa.array(ids, pa.string()), "checksum": pa.array([checksum(s) for s in sequences])}
        flat = np.concatenate(rows) if self.form.many else np.stack(rows)
        ends = pa.array(np.cumsum([0, *(len(row) for row in rows)]), pa.int64())
        for number, layer in enumerate(np.split(flat, self.form.layers, axis=1)):
            values = pa.array(np.ascontiguousarray(layer, np.float32).ravel())
            column = pa.FixedSizeListArray.from_arrays(values, layer.shape[1])
            name = f"layer_{number}" if self.form.layers > 1 else "embedding"
            columns[name] = pa.LargeListArray.from_arrays(ends, column) if self.form.many else column
        self.rows.write(pa.table(columns))


class _Held:
    def __init__(self) -> None:
        self.ids: list[str] = []
        self.checksums: list[str] = []
        self.rows: list[np.ndarray] = []

    def write(self, ids: Sequence[str], sequences: Sequence[str], rows: Sequence[np.ndarray]) -> None:
        self.ids += ids
        self.checksums += [checksum(s) for s in sequences]
        self.rows += rows

    def save(self, path: Path, form: Form, about: Mapping[str, Any]) -> None:
        values = np.concatenate(self.rows) if form.many else np.stack(self.rows)
        if form.layers > 1:
            values = values.reshape(len(values), form.layers, -1)
        if path.suffix == ".npy":
            write_json(_beside(path), {**about, "id": self.ids, "checksum": self.checksums})
            with atomic_path(path) as part, open(part, "wb") as stream:
                np.save(stream, values)
            return
        arrays: dict[str, Any] = {
            "id": np.array(self.ids), "checksum": np.array(self.checksums), "embedding": values,
            "about": np.array(json.dumps(dict(about), sort_keys=True)),
        }  # fmt: skip
        if form.many:
            arrays["offsets"] = np.cumsum([0, *map(len, self.rows)])
        with atomic_path(path) as part, open(part, "wb") as stream:
            np.savez(stream, **arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """What a file holds.

    Attributes:
        checksums: of the sequences, in order.
        layers: float32 of each layer: `[n, d]`, or `[rows, d]` where there are offsets.
        offsets: int64 `[n + 1]`, first row of each sequence where it has several.
        about: what was written with them; empty for a stranger's file.
    """

    checksums: list[str]
    layers: list[np.ndarray]
    offsets: np.ndarray | None
    about: Mapping[str, Any]


def read_embeddings(path: Path) -> Embeddings:
    """Reads a file of embeddings; a Parquet file of somebody else needs `sequence` (or `checksum`) and
    `embedding`, lists of one length.

    Raises:
        ConfigError: no such file.
        DataError: a damaged file, or one that holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file of embeddings ({_HINT})")
    try:
        read = {".parquet": _read_parquet, ".npz": _read_npz, ".npy": _read_npy}[path.suffix]
        return read(path)
    except (pa.ArrowException, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"no embeddings can be read: {reason}", where=path, hint=_HINT) from error


def _read_parquet(path: Path) -> Embeddings:
    names = pq.read_schema(path).names
    layers = [name for name in names if name == "embedding" or name.startswith("layer_")]
    keys = next((name for name in ("checksum", "sequence") if name in names), None)
    if not layers or keys is None:
        what = f"no columns embedding and sequence (or checksum), there are: {', '.join(names)}"
        raise DataError(what, where=path, hint="give the sequences that were embedded, letter by letter")
    table = pq.read_table(path, columns=[keys, *layers]).combine_chunks()
    said = json.loads((table.schema.metadata or {}).get(b"seqloom", b"{}"))
    texts = table[keys].to_pylist()
    sums = texts if keys == "checksum" else [checksum(text) for text in texts]
    columns = [_values(pa.concat_arrays(table[name].chunks), name, path) for name in layers]
    return Embeddings(checksums=sums, layers=[c[0] for c in columns], offsets=columns[0][1], about=said)


def _values(column: pa.Array, name: str, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    offsets = None
    if column.null_count:
        raise DataError(f"{column.null_count} rows of column {name!r} are empty", where=path)
    if not pa.types.is_fixed_size_list(column.type):
        inner = column.flatten()
        ends = column.offsets.to_numpy() - column.offsets[0].as_py()
        if pa.types.is_fixed_size_list(inner.type):
            column, offsets = inner, ends
        else:
            lengths = np.unique(np.diff(ends))
            if len(lengths) != 1:
                raise DataError(f"rows of column {name!r} differ in length", where=path)
            column = pa.FixedSizeListArray.from_arrays(inner, int(lengths[0]))
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(column), column.type.list_size), offsets


def _read_npz(path: Path) -> Embeddings:
    with np.load(path, allow_pickle=False) as held:
        about, values = json.loads(str(held["about"])), held["embedding"]
        offsets = held.get("offsets")
        sums = held["checksum"].tolist()
    return Embeddings(checksums=sums, layers=_layers(values), offsets=offsets, about=about)


def _read_npy(path: Path) -> Embeddings:
    if not _beside(path).is_file():
        what = f"{_beside(path).name} is not beside it, which says whose embeddings they are"
        raise DataError(what, where=path, hint=f"{_HINT}, {_TO_DO}")
    about = dict(read_json(_beside(path)))
    sums, _ = about.pop("checksum"), about.pop("id")
    values = np.load(path, allow_pickle=False)
    if len(values) != len(sums):
        raise DataError(f"{len(values)} rows, {len(sums)} in {_beside(path).name}", where=path)
    return Embeddings(checksums=sums, layers=_layers(values), offsets=None, about=about)


def _layers(values: np.ndarray) -> list[np.ndarray]:
    values = values.astype(np.float32, copy=False)
    return [values] if values.ndim == 2 else [values[:, layer] for layer in range(values.shape[1])]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
