"""Token ids of a dataset on disk: encoded once, opened as memory-mapped arrays by every run.

A folder `SEQLOOM_CACHE/tokens/KEY` for each split of a dataset and each tokenizer: `ids.bin` (unsigned
integers, the smallest type that holds the vocabulary, little-endian, all rows end to end, each `<bos> ...
<eos>`), `offsets.bin` (int64, one more than rows) and, written last, `tokens.json`. The key is a
fingerprint of the contents of dataset and tokenizer. Encoding goes row group by row group and, when it was
killed, goes on after the last one that was synced.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.dataset import Dataset
from biodata.errors import DataError
from biodata.fetch.names import cache_root
from biodata.files import fingerprint, make_folder, read_json, write_json
from biodata.progress import progress, say
from biodata.tokenizers.protocol import Encoded, Tokenizer, id_type
from biodata.tokenizers.rows import columns_of, strings_of
from biodata.tokenizers.special import UNK

FORMAT = 1
IDS, OFFSETS, MANIFEST, STATE = "ids.bin", "offsets.bin", "tokens.json", "state.json"


class Tokens(NamedTuple):
    """The tokens of a split.

    Attributes:
        encoded: ids and offsets; memory-mapped and read-only where they come from the cache.
        unknown: how many ids are `<unk>`.
    """

    encoded: Encoded
    unknown: int

    @property
    def rows(self) -> int:
        """Sequences."""
        return len(self.encoded.offsets) - 1

    @property
    def unknown_rate(self) -> float:
        """Share of `<unk>` among all ids, 0 without ids."""
        return self.unknown / len(self.encoded.ids) if len(self.encoded.ids) else 0.0


class SplitTables(Protocol):
    """Rows by split, in memory."""

    def table(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a split."""
        ...


def split_tokens(
    dataset: Dataset | SplitTables, split: str, tokenizer: Tokenizer, *, write: bool = True
) -> Tokens:
    """The tokens of a split: from the cache, into which a dataset folder is encoded first if need be.

    Args:
        dataset: a dataset folder; or tables, which are encoded in memory.
        split: one of `schema.SPLITS`.
        tokenizer: wraps each row as `<bos> ... <eos>`.
        write: whether to fill the cache; otherwise what is not there is encoded in memory.

    Raises:
        ConfigError: no such split.
        DataError: a file of the dataset is missing or damaged.
    """
    if isinstance(dataset, Dataset):
        folder = cache_root() / "tokens" / cache_key(dataset, split, tokenizer)
        found = _opened(folder)
        if found is not None:
            return found
        if write:
            return _filled(folder, dataset, split, tokenizer)
    strings = strings_of(tokenizer.kind, dataset.table(split, columns=list(columns_of(tokenizer.kind))))
    encoded = tokenizer.encode_column(strings)
    return Tokens(encoded, int(np.count_nonzero(encoded.ids == UNK)))


def cache_key(dataset: Dataset, split: str, tokenizer: Tokenizer) -> str:
    """The name of a cache folder: 40 hexadecimal digits of a fingerprint.

    It covers the dataset's own fingerprint and the size and time of each file, so that a file changed in
    place is noticed, and everything that decides the tokenizer's ids.

    Args:
        dataset: opened.
        split: train, validation or test.
        tokenizer: that encodes it.
    """
    stats = [path.stat() for path in dataset.files(split)]
    value = {
        "format": FORMAT,
        "dataset": dataset.manifest.get("fingerprint") or fingerprint(dataset.manifest),
        "files": [[stat.st_size, stat.st_mtime_ns] for stat in stats],
        "split": split,
        "kind": tokenizer.kind,
        "tokenizer": fingerprint([tokenizer.portable.to_str(), list(tokenizer.tokens)]),
        "shape": [getattr(tokenizer, name, None) for name in ("k", "overlap", "alphabet")],
    }
    return fingerprint(value)[:40]


def _opened(folder: Path) -> Tokens | None:
    if not (folder / MANIFEST).is_file():
        return None
    about = read_json(folder / MANIFEST)
    dtype = np.dtype(about["dtype"])
    sizes = {IDS: about["tokens"] * dtype.itemsize, OFFSETS: (about["rows"] + 1) * 8}
    if any(not (folder / n).is_file() or (folder / n).stat().st_size != size for n, size in sizes.items()):
        say(f"{folder}: cached tokens are damaged: encoding again")
        (folder / MANIFEST).unlink()
        return None
    ids = _mapped(folder / IDS, dtype, about["tokens"])
    return Tokens(
        Encoded(ids, _mapped(folder / OFFSETS, np.dtype("<i8"), about["rows"] + 1)), about["unknown"]
    )


def _mapped(path: Path, dtype: np.dtype, size: int) -> np.ndarray:
    if not size:  # nothing cannot be mapped
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r", shape=(size,)))


def _filled(folder: Path, dataset: Dataset, split: str, tokenizer: Tokenizer) -> Tokens:
    make_folder(folder)
    with _alone(folder):
        found = _opened(folder)  # another process may have written it while this one waited
        if found is None:
            _encode(folder, dataset, split, tokenizer)
            found = _opened(folder)
    assert found is not None
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process fills the folder; the lock ends with the process."""
    with open(folder / "lock", "a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _encode(folder: Path, dataset: Dataset, split: str, tokenizer: Tokenizer) -> None:
    dtype = id_type(tokenizer.vocab_size).newbyteorder("<")
    groups = _row_groups(dataset, split)
    state = _state(folder, dtype)
    with (
        open(folder / IDS, "r+b") as ids,
        open(folder / OFFSETS, "r+b") as offsets,
        progress(f"encoding {split}", total=len(groups)) as advance,
    ):
        ids.truncate(state["tokens"] * dtype.itemsize)
        offsets.truncate((state["rows"] + 1) * 8)
        for number, (path, group) in enumerate(groups):
            if number >= state["groups"]:
                encoded = tokenizer.encode_column(_strings(path, group, tokenizer.kind))
                _append(ids, encoded.ids.astype(dtype, copy=False))
                _append(offsets, (encoded.offsets[1:] + state["tokens"]).astype("<i8", copy=False))
                state["groups"] += 1
                state["tokens"] += len(encoded.ids)
                state["rows"] += len(encoded.offsets) - 1
                state["unknown"] += int(np.count_nonzero(encoded.ids == UNK))
                write_json(folder / STATE, state)
            advance(1)
    about = {"format": FORMAT, "dataset": str(dataset.path.resolve()), "split": split, "kind": tokenizer.kind}
    write_json(folder / MANIFEST, {**about, **state, "dtype": dtype.str})
    (folder / STATE).unlink(missing_ok=True)


def _row_groups(dataset: Dataset, split: str) -> list[tuple[Path, int]]:
    found = []
    for path in dataset.files(split):
        try:
            found += [(path, group) for group in range(pq.read_metadata(path).num_row_groups)]
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"damaged Parquet file: {str(error).splitlines()[0]}", where=path) from None
    return found


def _strings(path: Path, group: int, kind: str) -> pa.ChunkedArray:
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in columns_of(kind) if name in file.schema_arrow.names]
            return strings_of(kind, file.read_row_group(group, columns=names))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"damaged Parquet file: {str(error).splitlines()[0]}", where=path) from None


def _state(folder: Path, dtype: np.dtype) -> dict[str, Any]:
    """What an interrupted encoding had synced; or the beginning, with files that hold nothing."""
    if (folder / STATE).is_file():
        state = read_json(folder / STATE)
        sizes = {IDS: state["tokens"] * dtype.itemsize, OFFSETS: (state["rows"] + 1) * 8}
        if all((folder / n).is_file() and (folder / n).stat().st_size >= s for n, s in sizes.items()):
            return state
    (folder / IDS).write_bytes(b"")
    (folder / OFFSETS).write_bytes(bytes(8))
    return {"groups": 0, "tokens": 0, "rows": 0, "unknown": 0}


def _append(handle: Any, values: np.ndarray) -> None:
    handle.seek(0, os.SEEK_END)
    handle.write(values.tobytes())
    handle.flush()
    os.fsync(handle.fileno())
