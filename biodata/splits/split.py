"""Splits rows in any of the ways of `biodata.splits.ways`, and repairs the result.

Whatever the way, rows that are alike may not be in different splits. Units that a similar pair connects are
joined as long as the component stays small; where they would percolate, or where dates or names decide what
goes where, rows are purged instead (the rule: `biodata.splits.repair`). `biodata.splits.audit` checks the
outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.arrays import distinct
from biodata.errors import DataError
from biodata.schema import SPLITS
from biodata.similarity.cluster import renumbered
from biodata.similarity.links import similar_rows
from biodata.similarity.molecules import similar_molecules
from biodata.similarity.pairwise import EPSILON
from biodata.similarity.search import Hits, merge_hits, select
from biodata.splits.audit import held_out_rows
from biodata.splits.columns import codes_of
from biodata.splits.config import SplitConfig
from biodata.splits.repair import Groups, join_clusters, join_labels, rows_to_purge
from biodata.splits.ways import SPLITTERS, Rows, Units, kept_together

__all__ = ["PURGED", "Split", "SplitConfig", "assign", "repair_again", "split_counts", "split_from",
           "split_rows"]  # fmt: skip

PURGED = -1
_LISTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The outcome, and what a later repair needs.

    Attributes:
        units: int64 unit of every row before joining: what the way to split keeps together.
        place: int8 split that a row must be in, -1 for any.
        cluster: int64 unit after joining; in one split as a whole.
        assigned: int8, 0 train, 1 validation, 2 test, before anything was purged.
        split: int8, the same but `PURGED` for rows purged.
        links: similar pairs known so far.
        info: figures for the manifest.
    """

    units: np.ndarray
    place: np.ndarray
    cluster: np.ndarray
    assigned: np.ndarray
    split: np.ndarray
    links: Hits
    info: dict[str, Any]


def split_rows(
    sequences: pa.ChunkedArray, config: SplitConfig, *, alphabet: str, workdir: Path,
    columns: Mapping[str, pa.ChunkedArray] | None = None,
) -> Split:  # fmt: skip
    """Splits and repairs.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`).
        workdir: for temporary folders, deleted after use.
        columns: what `biodata.splits.columns.read_columns` gave for the same rows.

    Raises:
        DataError: too few units for the splits asked for, or rows that do not fit the way to split.
    """
    columns = columns or {}
    links, searched = _all_links(sequences, config, columns, alphabet=alphabet, workdir=workdir)
    rows = Rows(sequences=sequences, alphabet=alphabet, columns=columns, links=links, workdir=workdir)
    return split_from(rows, SPLITTERS.load(config.by)(rows, config), searched, config)


def split_from(rows: Rows, units: Units, searched: dict[str, Any], config: SplitConfig) -> Split:
    """Splits and repairs where similar pairs and units are known already.

    Args:
        rows: with their links; of sequences only their number counts.
        units: what the way to split made of them.
        searched: how links were looked for, for the manifest.
    """
    units = _together(units, rows, config)
    nowhere = np.zeros(len(rows.sequences), np.int8)
    links = rows.links
    start = Split(units=units.labels, place=units.place, cluster=units.labels, links=links, split=nowhere,
                  assigned=nowhere, info={"clustering": units.info, "search": searched})  # fmt: skip
    plain = _place(start, units.labels, config)
    start.info["plain"] = {
        "held_out_rows": 0 if plain is None else int((plain > 0).sum()),
        "leaking_rows": 0 if plain is None else len(held_out_rows(links, plain)),
    }
    return _decide(start, config)


def repair_again(split: Split, leaks: Hits, config: SplitConfig) -> Split:
    """Goes on with leaks that an audit found: joins them (`merge`) or purges rows (`auto`, `purge`).

    Args:
        split: as it was audited.
        leaks: pairs of rows that cross it.
        config: its `repair` says what is done.
    """
    links = merge_hits(split.links, leaks)
    if config.repair == "merge":
        return _decide(replace(split, links=links), config)
    parts = split.split.copy()
    parts[rows_to_purge(leaks, parts)] = PURGED
    _check_filled(parts, config)
    return replace(split, links=links, split=parts)


def assign(labels: np.ndarray, *, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Puts whole clusters into splits: the largest first, each where it leaves the split least full.

    Of clusters of one size the order is shuffled by `seed`. Every split asked for gets a cluster.

    Args:
        labels: int64 [rows], the cluster of every row, 0 to clusters - 1.
        fractions: of all rows that train, validation and test shall get, 0 or more; 0 leaves a split out.
        seed: of the order among clusters of one size.

    Returns:
        int8 split number of every row.

    Raises:
        DataError: fewer clusters than splits.

    >>> np.bincount(assign(np.arange(100), fractions=(0.7, 0.15, 0.15), seed=1))
    array([70, 15, 15])
    """
    sizes = np.bincount(labels)
    wanted = [number for number, share in enumerate(fractions) if share > 0]
    if len(sizes) < len(wanted):
        raise DataError(
            f"{len(labels)} rows form {len(sizes)} clusters of similar sequences, too few for {len(wanted)} "
            "splits",
            hint="give more diverse sequences, raise split.identity, or ask for fewer splits: "
            "split.fractions 1,0,0",
        )
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    target = {number: fractions[number] * len(labels) for number in wanted}
    filled = dict.fromkeys(wanted, 0)
    where = np.zeros(len(sizes), np.int8)
    left = len(order)
    for label, size in _numbers(order, sizes):
        empty = [number for number in wanted if not filled[number]]
        among = empty if len(empty) == left else wanted
        best = min(among, key=lambda number: (filled[number] + size) / target[number])
        where[label] = best
        filled[best] += size
        left -= 1
    return where[labels]


def _numbers(order: np.ndarray, sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Label and size in this order; few of them are Python numbers at a time."""
    for start in range(0, len(order), _LISTED):
        part = order[start : start + _LISTED]
        yield from zip(part.tolist(), sizes[part].tolist())


def split_counts(split: np.ndarray) -> dict[str, int]:
    """Rows of every split by name."""
    return {name: int((split == number).sum()) for number, name in enumerate(SPLITS)}


def most_rows(config: SplitConfig, rows: int) -> int:
    """The most rows that joined clusters may have, at least 2."""
    return max(2, int(config.max_component * rows + EPSILON))


def _all_links(
    sequences: pa.ChunkedArray, config: SplitConfig, columns: Mapping[str, pa.ChunkedArray], *,
    alphabet: str, workdir: Path,
) -> tuple[Hits, dict[str, Any]]:  # fmt: skip
    """Every similar pair that the repair knows of, and how it was looked for."""
    links, info = similar_rows(
        sequences, alphabet=alphabet, identity=config.identity, coverage=config.coverage, workdir=workdir,
        threads=config.threads,
    )  # fmt: skip
    if config.tanimoto > 0 and alphabet == "selfies":
        chemical = similar_molecules(columns["sequence"].to_pylist(), tanimoto=config.tanimoto)
        links, info["pairs_alike_by_tanimoto"] = merge_hits(links, chemical), len(chemical.query)
    return links, info


def _together(units: Units, rows: Rows, config: SplitConfig) -> Units:
    """Units with rows joined that must never part, and the counts of both for the manifest."""
    kept = kept_together(rows.columns, config.keep_together, len(rows.sequences))
    labels = join_labels(units.labels, kept)
    if not units.whole:
        labels = _unchained(labels, units.labels, kept, most_rows(config, len(labels)))
    place = units.place
    if (place >= 0).any():
        # a unit goes where its latest row must go
        latest = np.full(int(labels.max()) + 1, -1, np.int8)
        np.maximum.at(latest, labels, place)
        place = latest[labels]
    sizes = np.bincount(kept)
    info = units.info | {"clusters": _count(labels), "largest_cluster": _largest(labels),
                         "rows_kept_together": int(sizes[sizes > 1].sum())}  # fmt: skip
    if alone := _without_partner(rows):
        info["chains_without_partner"] = alone
    return replace(units, labels=labels, place=place, info=info)


def _unchained(labels: np.ndarray, clusters: np.ndarray, kept: np.ndarray, most: int) -> np.ndarray:
    """Labels without those that chain windows of many records: there only `kept` stays together.

    The search knows the similar pairs of such clusters, too, and the repair purges.

    Args:
        labels: unit of every row after joining.
        clusters: unit of every row before.
        kept: rows that must never part.
        most: rows that a unit of several clusters may have.
    """
    wide = labels.astype(np.uint64) << np.uint64(32)
    pairs = distinct(wide | clusters.astype(np.uint64)) >> np.uint64(32)
    several = np.bincount(pairs.astype(np.int64), minlength=len(labels)) > 1
    chained = (several & (np.bincount(labels, minlength=len(labels)) > most))[labels]
    return renumbered(np.where(chained, labels.max(initial=0) + 1 + kept, labels))


def _without_partner(rows: Rows) -> int:
    """Chains of a pair whose other chain is not there, for example because it equals an earlier row."""
    if "pair" not in rows.columns:
        return 0
    codes = codes_of(rows.columns, ["pair"], len(rows.sequences))
    return int((np.bincount(codes[codes >= 0]) == 1).sum())


def _decide(split: Split, config: SplitConfig) -> Split:
    rows = len(split.units)
    free = split.place < 0
    links = split.links
    if not free.all():
        links = select(links, free[links.query] & free[links.target])
    groups = join_clusters(split.units, links, most_rows=most_rows(config, rows), mode=config.repair)
    assigned = _place(split, groups.labels, config)
    if assigned is None:
        raise DataError(
            f"{rows} rows form {_count(groups.labels)} clusters of similar sequences, too few for "
            f"{sum(share > 0 for share in config.fractions)} splits",
            hint="give more diverse sequences, raise split.identity, or ask for fewer splits: "
            "split.fractions 1,0,0",
        )
    parts = assigned.copy()
    parts[rows_to_purge(split.links, parts)] = PURGED
    _check_filled(parts, config)
    info = split.info | {"joined": _joined(groups)}
    return replace(split, cluster=groups.labels, assigned=assigned, split=parts, info=info)


def _place(split: Split, labels: np.ndarray, config: SplitConfig) -> np.ndarray | None:
    """The split of every row: as it must be, else by `assign`; None if there are too few units."""
    assigned = split.place.copy()
    free = assigned < 0
    if not free.any():
        return assigned
    fractions = [
        0.0 if (assigned == number).any() else share for number, share in enumerate(config.fractions)
    ]
    total = sum(fractions)
    if not total:  # every split asked for is named: the rest is train
        fractions, total = [1.0, 0.0, 0.0], 1.0
    chosen = renumbered(labels[free])
    if _count(chosen) < sum(share > 0 for share in fractions):
        return None
    assigned[free] = assign(chosen, fractions=[share / total for share in fractions], seed=config.seed)
    return assigned


def _check_filled(parts: np.ndarray, config: SplitConfig) -> None:
    for number, name in enumerate(SPLITS):
        if config.fractions[number] > 0 and not (parts == number).any():
            raise DataError(
                f"purging rows that are {config.identity:.0%} identical across splits leaves {name} empty",
                hint="raise split.identity or split.max_component, or give more diverse sequences",
            )


def _joined(groups: Groups) -> dict[str, Any]:
    return {"clusters": _count(groups.labels), "largest_cluster": _largest(groups.labels),
            "largest_component": groups.largest_component, "percolating_rows": groups.percolating_rows,
            "percolating_components": groups.percolating}  # fmt: skip


def _count(labels: np.ndarray) -> int:
    return int(labels.max()) + 1 if len(labels) else 0


def _largest(labels: np.ndarray) -> int:
    return int(np.bincount(labels).max()) if len(labels) else 0
