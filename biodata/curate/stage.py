"""The stage between reading and splitting: steps that need to see all rows.

    rows as read -> similar to denied -> near duplicates -> cap per cluster -> sample -> cap of phrases

What leaves is listed in `removed.parquet`; the counts are in `curate.json`, written last. If no step is asked
for, nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.config import CurateConfig
from biodata.curate.deny_search import find_denied, read_denied
from biodata.curate.exclusion_policy import ExclusionPolicy
from biodata.curate.near_duplicates import kept_by
from biodata.curate.phrases import cap_phrases
from biodata.curate.rules import LISTING_SCHEMA
from biodata.curate.sampling import COLUMNS, capped, group_codes, sampled
from biodata.errors import DataError
from biodata.files import atomic_path, read_json, sha256_file, write_json
from biodata.io.parquet import parquet_options
from biodata.mmseqs import normalised
from biodata.progress import progress
from biodata.schema import SCHEMA
from biodata.similarity.cluster import cluster
from biodata.similarity.links import similar_rows
from biodata.similarity.search import lengths_of

REMOVED, RESULT = "removed.parquet", "curate.json"
_COVERAGE = 0.8
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Curated:
    """What the stage left.

    Attributes:
        stages: Parquet files of `SCHEMA`, in order: those given if nothing was to do.
        dropped: rows by rule.
        changed: rows or lines by rule.
        info: figures for the manifest.
        removed: listing of dropped rows, `None` if nothing was to do.
    """

    stages: tuple[Path, ...]
    dropped: Mapping[str, int]
    changed: Mapping[str, int]
    info: Mapping[str, Any]
    removed: Path | None


def curate(
    stages: Sequence[Path], config: CurateConfig, exclusion: ExclusionPolicy, *, alphabet: str, out: Path,
    threads: int = 0,
) -> Curated:  # fmt: skip
    """Runs the steps asked for; returns at once where `out` holds their result.

    Args:
        stages: Parquet files of `SCHEMA`, in order.
        config: the steps.
        exclusion: its denied sequences are looked for here.
        alphabet: of all rows.
        out: a folder for this input and configuration alone.
        threads: 0 uses every core; does not change the result.

    Raises:
        DataError: no row is left, or the denied sequences cannot be read.
        ConfigError: rows cannot be grouped as asked.
    """
    has_text = config.phrase_cap > 0 and _has_text(stages)
    if not (config.drops or exclusion.deny_sequences or has_text):
        return Curated(tuple(stages), {}, {}, {}, None)
    if not (out / RESULT).is_file():
        rows = _Rows(stages, alphabet, out / "tmp", threads)
        with progress("curating"):
            _drop_rows(rows, config, exclusion)
            texts = _texts(rows, config) if has_text else None
        if not rows.keep.any():
            raise DataError(f"no row is left after curation: {', '.join(rows.counts())}")
        _write(rows, texts, out)
        write_json(out / RESULT, {"dropped": rows.dropped, "changed": rows.changed, "info": rows.info})
    done = read_json(out / RESULT)
    shards = tuple(sorted(out.glob("stage-*.parquet")))
    return Curated(shards, done["dropped"], done["changed"], done["info"], out / REMOVED)


class _Rows:
    """The rows of the stage, which of them are left, and the book of what left."""

    def __init__(self, stages: Sequence[Path], alphabet: str, workdir: Path, threads: int) -> None:
        self.stages, self.alphabet, self.workdir, self.threads = stages, alphabet, workdir, threads
        self.keep = np.ones(sum(pq.read_metadata(path).num_rows for path in stages), bool)
        self.dropped: dict[str, int] = {}
        self.changed: dict[str, int] = {}
        self.info: dict[str, Any] = {}
        self._listed: list[tuple[int, str, str]] = []

    def column(self, *names: str) -> pa.Table:
        """Columns of the rows that are left."""
        tables = [pq.read_table(path, columns=list(names)) for path in self.stages]
        return pa.concat_tables(tables).filter(pa.array(self.keep))

    def sequences(self) -> pa.ChunkedArray:
        """Normalised sequences of the rows that are left."""
        return normalised(self.column("sequence")["sequence"], alphabet=self.alphabet)

    def drop(self, rule: str, rows: npt.NDArray[np.int64], details: Sequence[str]) -> None:
        """Drops rows, given by their numbers among those left."""
        numbers = np.flatnonzero(self.keep)[rows]
        self._listed += [(row, rule, detail) for row, detail in zip(numbers.tolist(), details)]
        self.keep[numbers] = False
        self.dropped[rule] = self.dropped.get(rule, 0) + len(numbers)

    def change(self, rule: str, n: int) -> None:
        """Counts what was changed."""
        if n:
            self.changed[rule] = self.changed.get(rule, 0) + n

    def counts(self) -> list[str]:
        """The rules that dropped rows, for a message."""
        return [f"{rule} {n}" for rule, n in self.dropped.items()]

    def listing(self) -> pa.Table:
        """The dropped rows, in order."""
        names = pa.concat_tables([pq.read_table(path, columns=["id", "source"]) for path in self.stages])
        listed = sorted(self._listed)
        names = names.take(pa.array([row for row, _, _ in listed], pa.int64()))
        count = len(listed)
        return pa.table(
            {"id": names["id"], "file": names["source"], "line": pa.nulls(count, pa.int64()),
             "action": ["dropped"] * count, "reason": [rule for _, rule, _ in listed],
             "detail": [detail for _, _, detail in listed]}, schema=LISTING_SCHEMA,
        )  # fmt: skip


def _drop_rows(rows: _Rows, config: CurateConfig, exclusion: ExclusionPolicy) -> None:
    if exclusion.deny_sequences:
        _drop_denied(rows, exclusion, exclusion.deny_sequences)
    if config.near_duplicates and rows.keep.any():
        _drop_near_duplicates(rows, config)
    if config.cluster_cap and rows.keep.any():
        _cap_clusters(rows, config)
    if config.sample_rows and rows.keep.any():
        _sample(rows, config)


def _drop_denied(rows: _Rows, exclusion: ExclusionPolicy, path: Path) -> None:
    denied = read_denied(path, alphabet=rows.alphabet)
    found = find_denied(
        rows.sequences(), denied, alphabet=rows.alphabet, identity=exclusion.deny_identity,
        coverage=exclusion.deny_coverage, workdir=rows.workdir, threads=rows.threads,
    )  # fmt: skip
    rows.info["denied_sequences"] = {"sha256": sha256_file(path), "sequences": len(denied.names)}
    rows.drop(
        "excluded-similar", np.array([*found], np.int64), [f"similar to denied {n!r}" for n in found.values()]
    )


def _drop_near_duplicates(rows: _Rows, config: CurateConfig) -> None:
    sequences = rows.sequences()
    hits, _ = similar_rows(
        sequences, alphabet=rows.alphabet, identity=config.near_duplicates,
        coverage=config.near_duplicate_coverage, workdir=rows.workdir, threads=rows.threads,
    )  # fmt: skip
    stands = kept_by(hits, lengths_of(sequences), keep=config.near_duplicate_keep)
    gone = np.flatnonzero(stands != np.arange(len(stands)))
    ids = rows.column("id")["id"]
    kept = ids.take(pa.array(stands[gone])).to_pylist()
    rows.info["near_duplicates"] = {"pairs": len(hits.query), "identity": config.near_duplicates}
    details = [f"at least {config.near_duplicates:.0%} identical to {name!r}" for name in kept]
    rows.drop("near-duplicate", gone, details)


def _cap_clusters(rows: _Rows, config: CurateConfig) -> None:
    found = cluster(
        rows.sequences(), alphabet=rows.alphabet, identity=config.cluster_cap_identity, coverage=_COVERAGE,
        workdir=rows.workdir, threads=rows.threads,
    )  # fmt: skip
    sizes = np.bincount(found.labels)
    rows.info["cluster_cap"] = {"clusters": len(sizes), "capped": int((sizes > config.cluster_cap).sum()),
                                "command": found.command}  # fmt: skip
    gone = np.flatnonzero(~capped(found.labels, config.cluster_cap, seed=config.curate_seed))
    details = [f"one of {n} rows of a cluster" for n in sizes[found.labels[gone]].tolist()]
    rows.drop("cluster-capped", gone, details)


def _sample(rows: _Rows, config: CurateConfig) -> None:
    by = config.sample_by
    if by:
        table = rows.column(by if by in COLUMNS else "labels")
        codes, names = group_codes(table, by)
    else:
        codes, names = np.zeros(int(rows.keep.sum()), np.int64), ["all rows"]
    keep = sampled(codes, config.sample_rows, temperature=config.sample_temperature, seed=config.curate_seed)
    before, after = np.bincount(codes, minlength=len(names)), np.bincount(codes[keep], minlength=len(names))
    largest = np.argsort(-before, kind="stable")[:100].tolist()
    rows.info["sample"] = {"groups": len(names), "largest_groups": [
        {"group": names[g], "rows": int(before[g]), "kept": int(after[g])} for g in largest
    ]}  # fmt: skip
    gone = np.flatnonzero(~keep)
    rows.drop("not-sampled", gone, [f"group {names[code]}" for code in codes[gone].tolist()])


def _texts(rows: _Rows, config: CurateConfig) -> pa.ChunkedArray:
    texts, lines, nulls = cap_phrases(rows.column("text")["text"], config.phrase_cap, seed=config.curate_seed)
    rows.change("phrase-capped", lines)
    rows.change("text-emptied", nulls)
    return texts


def _has_text(stages: Sequence[Path]) -> bool:
    for path in stages:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["text"]):
                if batch["text"].null_count < batch.num_rows:
                    return True
    return False


def _write(rows: _Rows, texts: pa.ChunkedArray | None, out: Path) -> None:
    with atomic_path(out / REMOVED) as part:
        pq.write_table(rows.listing(), part, compression="zstd")
    options = parquet_options(SCHEMA, temporary=True)
    first = taken = 0
    for number, path in enumerate(rows.stages):
        with (
            atomic_path(out / f"stage-{number:05d}.parquet") as part,
            pq.ParquetWriter(part, SCHEMA, **options) as writer,
        ):
            for batch in _batches(path):
                kept = batch.filter(pa.array(rows.keep[first : first + batch.num_rows]))
                first += batch.num_rows
                if texts is not None and kept.num_rows:
                    column = texts.slice(taken, kept.num_rows).combine_chunks()
                    kept = kept.set_column(SCHEMA.get_field_index("text"), SCHEMA.field("text"), column)
                taken += kept.num_rows
                writer.write_batch(kept)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_BATCH_ROWS)
