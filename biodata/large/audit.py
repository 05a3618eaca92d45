"""The audit of a large set: a sample of the held-out rows is searched for in all rows of the other splits.

Independent of how the split was made: MMseqs2 instead of sketches, on the files as they were written. A clean
sample of n rows says that, with 95 % confidence, fewer than 3 / n of all held-out rows leak (Hanley and
Lippman-Hand 1983, doi:10.1001/jama.1983.03330370053031); where a sample is not clean, `biodata.large.rows`
looks again at all rows with other k-mers, and the next audit draws another sample. Memory and time go with
the rows of a chunk and the number of chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.engine import in_order
from biodata.large.sample import SAMPLE_SCHEMA, Chunk, Sample, draw_sample
from biodata.mmseqs import find_mmseqs
from biodata.progress import progress
from biodata.schema import SPLITS
from biodata.similarity.pairwise import EPSILON
from biodata.similarity.search import LONG, Hits, audit_settings, lengths_of, merge_hits, search, select
from biodata.similarity.sketch import alike, describe, long_pairs, second_settings
from biodata.splits.audit import Audit, AuditSettings, held_out_rows


class _Found(NamedTuple):
    """Pairs of a dataset row and a sample row, from a little below the threshold; of long rows the alike."""

    hits: Hits
    long: Hits
    command: str
    compared: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    chunk: Chunk
    sample: Path
    settings: AuditSettings
    alphabet: str
    workdir: Path


def audit_sample(
    folder: Path, files: Sequence[Mapping[str, Any]], *, alphabet: str, settings: AuditSettings,
    workdir: Path, executor: Executor | None,
) -> Audit:  # fmt: skip
    """Audits the files of a dataset by a sample.

    Args:
        folder: the dataset folder.
        files: entries `name`, `split` of its manifest; rows are counted in their order.
        settings: `seed` draws the sample; `effort` is not used.
        workdir: for temporary folders, deleted after use.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    sample = draw_sample(folder, files, workdir / "sample.parquet", alphabet=alphabet,
                         identity=settings.identity, seed=settings.seed, executor=executor)  # fmt: skip
    tasks = [_Task(chunk=chunk, sample=sample.path.absolute(), settings=settings, alphabet=alphabet,
                   workdir=workdir.absolute()) for chunk in sample.chunks]  # fmt: skip
    found = []
    with progress("auditing a sample", len(tasks)) as advance:
        for one in in_order(executor, _search_chunk, tasks):
            found.append(one)
            advance(1)
    return _judged(sample, found, files, alphabet, settings)


def _search_chunk(task: _Task) -> _Found:
    """Looks for the sample among the rows of one chunk."""
    settings, chunk = task.settings, task.chunk
    sample = pq.read_table(task.sample, schema=SAMPLE_SCHEMA)
    rows = chunk.sequences(task.alphabet)
    texts = pa.chunked_array([*rows.chunks, *sample["sequence"].chunks])
    lengths = lengths_of(texts)
    other = sample["split"].to_numpy() != chunk.split
    short = (lengths > 0) & (lengths <= LONG)
    here = np.flatnonzero(short[: len(rows)])
    wanted = np.flatnonzero(other & short[len(rows) :]) + len(rows)
    how = audit_settings(alphabet=task.alphabet, identity=settings.identity, coverage=settings.coverage)
    hits, command = search(texts, how, alphabet=task.alphabet, queries=here, targets=wanted,
                           workdir=task.workdir, threads=1)  # fmt: skip
    hits = Hits(hits.query + chunk.first, hits.target - len(rows), hits.identity)
    second = second_settings(alphabet=task.alphabet, identity=settings.identity, coverage=settings.coverage)
    sides = np.concatenate([np.zeros(len(rows), np.int8), np.where(other, 1, -1).astype(np.int8)])
    pairs = long_pairs(texts, second, split=sides)
    long = alike(pairs.hits, second)
    long = Hits(long.query + chunk.first, long.target - len(rows), long.identity)
    return _Found(hits, long, command, describe(pairs, second))


def _judged(
    sample: Sample, found: Sequence[_Found], files: Sequence[Mapping[str, Any]], alphabet: str,
    settings: AuditSettings,
) -> Audit:  # fmt: skip
    """Which pairs leak, and what the sample says of the whole."""
    table = pq.read_table(sample.path, columns=["row", "split"])
    rows, planted = table["row"].to_numpy(), table["split"].to_numpy() == len(SPLITS)
    hits = Hits(*(np.concatenate(column) for column in zip(*(one.hits for one in found))))
    long = Hits(*(np.concatenate(column) for column in zip(*(one.long for one in found))))
    copies = select(hits, planted[hits.target] & (hits.identity >= settings.identity - EPSILON))
    recovered = int((rows[copies.target] == copies.query).sum())
    own = select(hits, ~planted[hits.target])
    own, long = (Hits(part.query, rows[part.target], part.identity) for part in (own, long))
    leaks = merge_hits(select(own, own.identity >= settings.identity - EPSILON), long)
    best = max(own.identity.max(initial=0), long.identity.max(initial=0))
    split = np.concatenate([np.full(entry["rows"], SPLITS.index(entry["split"]), np.int8) for entry in files])
    leaking = held_out_rows(leaks, split)
    details = {
        "tool": "MMseqs2", "version": find_mmseqs().version,
        "command": next((one.command for one in found if one.command), ""),
        "complete": sample.rows == sample.of, "held_out_rows": sample.of,
        "held_out_rows_searched": sample.rows,
        "leaking_share_at_most": _bound(sample, len(leaking)),
        "planted": sample.planted, "planted_found": recovered,
        "rows_compared_by_sketch": sum(one.compared["rows_compared_by_sketch"] for one in found),
    }  # fmt: skip
    return Audit(
        settings=settings, leaks=leaks, leaking_rows=leaking,
        max_identity=round(float(best), 4) if best > 0 else None,
        searched_from=round(max(0.0, settings.identity - 0.1), 4), method=_method(sample), search=details,
        exact={"queries": 0, "pairs": 0, "leaking": 0, "complete": False, "recall_of_search": None},
    )  # fmt: skip


def _bound(sample: Sample, leaking: int) -> float | None:
    """Upper 95 % limit of the share of held-out rows that leak, by the rule of three; None where some do."""
    if leaking:
        return None
    return 0.0 if sample.rows == sample.of else round(3 / max(sample.rows, 3), 6)


def _method(sample: Sample) -> str:
    which = "all held-out rows"
    if sample.rows < sample.of:
        which = f"a sample of {sample.rows:,} of {sample.of:,} held-out rows"
    return (
        f"MMseqs2 search of {which} among all rows of the other splits, rows of more than {LONG:,} letters "
        "by k-mer sketches instead; no row was compared exactly, because the set is large"
    )
