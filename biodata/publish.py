"""The last step of a build: lists of removed rows, split state for a restart, files moved to their places."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.rules import LISTING_SCHEMA
from biodata.dataset import CARD, DATA, MANIFEST
from biodata.files import atomic_path, read_json
from biodata.schema import SPLITS
from biodata.similarity.search import Hits
from biodata.splits.split import PURGED, Split
from biodata.staging import batches_of

PURGE_REASON = "similar-across-splits"
_ARRAYS = ("units", "place", "cluster", "assigned", "split")
_LISTINGS = ("dropped.parquet", "changed.parquet")


def write_removed(work: Path, stages: list[Path], split: Split, curated: Path | None = None) -> None:
    """Lists of the rows that are not in the dataset: dropped by a rule, purged by the repair.

    Args:
        work: folder of the build; the lists go to `removed` in it.
        stages: Parquet files of the rows that were split, in order.
        split: which of them were purged.
        curated: list of the rows that curation dropped, None for none.
    """
    removed = work / "removed"
    removed.mkdir(exist_ok=True)
    for name in _LISTINGS:
        if (work / "ingest" / name).is_file():
            with atomic_path(removed / name) as part:
                shutil.copyfile(work / "ingest" / name, part)
    if curated is not None:
        _append(removed / _LISTINGS[0], curated)
    gone = np.flatnonzero(split.split == PURGED)
    names = _rows_of(stages, gone, ["id", "source"])
    was = [f"was in {SPLITS[number]}" for number in split.assigned[gone].tolist()]
    count = len(gone)
    table = pa.table(
        {"id": names["id"], "file": names["source"], "line": pa.nulls(count, pa.int64()),
         "action": ["dropped"] * count, "reason": [PURGE_REASON] * count, "detail": was},
        schema=LISTING_SCHEMA,
    )  # fmt: skip
    with atomic_path(removed / "purged.parquet") as part:
        pq.write_table(table, part, compression="zstd")


def _rows_of(stages: list[Path], rows: np.ndarray, columns: list[str]) -> pa.Table:
    """Columns of some rows, given in order; a batch at a time."""
    parts, first = [], 0
    for path in stages:
        for batch in batches_of(path, columns):
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            parts.append(batch.take(pa.array(rows[low:high] - first)))
            first += batch.num_rows
    return pa.Table.from_batches(parts)


def _append(listing: Path, more: Path) -> None:
    """Adds the rows of one listing after those of another."""
    with atomic_path(listing) as part, pq.ParquetWriter(part, LISTING_SCHEMA) as writer:
        for path in (listing, more):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches():
                    writer.write_batch(batch)


def publish(work: Path, out: Path) -> dict[str, Any]:
    """Moves the finished files to their places, the manifest last; goes on if it was killed in between."""
    manifest = read_json(work / MANIFEST)
    (out / MANIFEST).unlink(missing_ok=True)
    wanted = {entry["name"] for entry in manifest["files"]}
    for path in (out / DATA).glob("*.parquet"):
        if f"{DATA}/{path.name}" not in wanted:
            path.unlink()
    names = [*sorted(wanted), *(f"removed/{name}" for name in (*_LISTINGS, "purged.parquet")), CARD]
    for name in [*names, MANIFEST]:
        source, target = work / name, out / name
        if source.is_file():
            target.parent.mkdir(exist_ok=True)
            with open(source, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(source, target)
    return manifest


def save_split(path: Path, split: Split) -> None:
    """Everything of a split in one `.npz`, to go on with after a restart."""
    with atomic_path(path) as part:
        _write_arrays(part, split)


def _write_arrays(path: Path, split: Split) -> None:
    arrays = {name: getattr(split, name) for name in _ARRAYS}
    links = {f"links_{name}": value for name, value in split.links._asdict().items()}
    with open(path, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays, **links, info=np.array(json.dumps(split.info)))


def load_split(path: Path) -> Split:
    """What `save_split` wrote."""
    with np.load(path) as saved:
        links = Hits(*(saved[f"links_{name}"] for name in Hits._fields))
        arrays = {name: saved[name] for name in _ARRAYS}
        return Split(**arrays, links=links, info=json.loads(str(saved["info"])))
