"""Splits rows into train, validation and test by whole clusters, and repairs what LinClust leaves alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from biodata.audit import AuditSettings, held_out_rows, short_links
from biodata.cluster import Clusters, cluster, renumbered, short_below
from biodata.errors import ConfigError, DataError
from biodata.mmseqs import NUCLEOTIDES
from biodata.pairwise import EPSILON
from biodata.repair import Groups, join_clusters, rows_to_purge
from biodata.schema import SPLITS
from biodata.search import LONG, NO_HITS, Hits, lengths_of, merge_hits, repair_settings, search, select
from biodata.sketch import alike, describe, greedy_clusters, long_pairs, sketch_settings

PURGED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """How rows are clustered, split, repaired and audited."""

    identity: float = field(
        default=0.9, metadata={"help": "least alignment identity of a leak and of a cluster, 0 to 1"}
    )
    coverage: float = field(
        default=0.8, metadata={"help": "least fraction of both sequences in the alignment, 0 to 1"}
    )
    fractions: tuple[float, ...] = field(
        default=(0.7, 0.15, 0.15), metadata={"help": "share of rows of train, validation, test; sum 1"}
    )
    seed: int = field(default=0, metadata={"help": "decides which clusters go where, 0 or more"})
    repair: Literal["auto", "merge", "purge"] = field(
        default="auto",
        metadata={"help": "join similar clusters (merge), drop rows (purge), or by size (auto)"},
    )
    max_component: float = field(
        default=0.1,
        metadata={"help": "auto: largest share of all rows that joined clusters may have, 0 to 1"},
    )
    exact_effort: float = field(
        default=20.0,
        metadata={"help": "nominal core-seconds of the exact second audit, 0 for none; same on any machine"},
    )
    threads: int = field(default=0, metadata={"help": "threads, 0 for all cores; does not change the result"})

    def __post_init__(self) -> None:
        for name in ("identity", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: above 0, at most 1")
        if len(self.fractions) != 3 or min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise ConfigError(f"fractions are {self.fractions}, allowed: three of 0 or more with sum 1")
        if self.repair not in ("auto", "merge", "purge"):
            raise ConfigError(f"repair is {self.repair!r}, allowed: auto, merge, purge")
        if not 0 <= self.max_component <= 1:
            raise ConfigError(f"max_component is {self.max_component}, allowed: 0 to 1")
        for name in ("seed", "exact_effort", "threads"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: 0 or more")

    def audit_settings(self) -> AuditSettings:
        """The audit that fits this split."""
        return AuditSettings(identity=self.identity, coverage=self.coverage, effort=self.exact_effort,
                             seed=self.seed, threads=self.threads)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The outcome, and what a later repair needs.

    Attributes:
        linclust: int64 LinClust cluster of every row.
        cluster: int64 cluster after joining.
        assigned: int8, 0 train, 1 validation, 2 test, before anything was purged.
        split: int8, the same but `PURGED` for rows purged.
        links: similar pairs known so far.
        info: figures for the manifest.
    """

    linclust: np.ndarray
    cluster: np.ndarray
    assigned: np.ndarray
    split: np.ndarray
    links: Hits
    info: dict[str, Any]


def split_rows(sequences: pa.ChunkedArray, config: SplitConfig, *, alphabet: str, workdir: Path) -> Split:
    """Clusters, splits and repairs.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`).
        workdir: for temporary folders, deleted after use.

    Raises:
        DataError: too few clusters for the splits asked for.
    """
    clusters = cluster(sequences, alphabet=alphabet, identity=config.identity, coverage=config.coverage,
                       workdir=workdir, threads=config.threads)  # fmt: skip
    links, command = find_links(sequences, config, alphabet=alphabet, workdir=workdir)
    how = sketch_settings(alphabet=alphabet, identity=config.identity, coverage=config.coverage)
    long = long_pairs(sequences, how)
    links = merge_hits(links, alike(long.hits, how))
    labels = greedy_clusters(clusters.labels, links, lengths_of(sequences))
    clusters = replace(clusters, labels=renumbered(labels))
    short = int((lengths_of(sequences) < short_below(alphabet)).sum())
    info = {
        "clustering": {"method": "LinClust", "command": clusters.command, "version": clusters.version,
                       "clusters": _count(clusters.labels), "largest_cluster": _largest(clusters.labels),
                       "clustered_by_equality_only": clusters.too_short},
        "search": {"command": command, "compared_exactly_below_length": min(short_below(alphabet), 1 << 31),
                   "rows_compared_exactly": short} | describe(long, how),
        "plain": _plain(clusters, links, config),
    }  # fmt: skip
    nowhere = np.zeros(len(sequences), np.int8)
    start = Split(linclust=clusters.labels, cluster=clusters.labels, links=links, info=info, split=nowhere,
                  assigned=nowhere)  # fmt: skip
    return _decide(start, config)


def repair_again(split: Split, leaks: Hits, config: SplitConfig) -> Split:
    """Goes on with leaks that an audit found: joins them (`merge`) or purges rows (`auto`, `purge`)."""
    links = merge_hits(split.links, leaks)
    if config.repair == "merge":
        return _decide(replace(split, links=links), config)
    parts = split.split.copy()
    parts[rows_to_purge(leaks, parts)] = PURGED
    _check_filled(parts, config)
    return replace(split, links=links, split=parts)


def find_links(
    sequences: pa.ChunkedArray, config: SplitConfig, *, alphabet: str, workdir: Path
) -> tuple[Hits, str]:
    """All pairs of rows up to `LONG` at the thresholds that the repair search finds, and its command."""
    hits, command = NO_HITS, ""
    if alphabet in (*NUCLEOTIDES, "protein"):
        lengths = lengths_of(sequences)
        rows = np.flatnonzero((lengths > 0) & (lengths <= LONG))
        how = repair_settings(alphabet=alphabet, identity=config.identity, coverage=config.coverage)
        hits, command = search(sequences, how, alphabet=alphabet, queries=rows, targets=rows,
                               workdir=workdir, threads=config.threads)  # fmt: skip
        hits = select(hits, hits.identity >= config.identity - EPSILON)
    short = short_links(sequences, np.ones(len(sequences), bool), alphabet=alphabet,
                        identity=config.identity, coverage=config.coverage)  # fmt: skip
    return merge_hits(hits, short), command


def assign(labels: np.ndarray, *, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Puts whole clusters into splits: the largest first, each where it leaves the split least full.

    Of clusters of one size the order is shuffled by `seed`. Every split asked for gets a cluster.

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
    for label, size in zip(order.tolist(), sizes[order].tolist()):
        empty = [number for number in wanted if not filled[number]]
        among = empty if len(empty) == left else wanted
        best = min(among, key=lambda number: (filled[number] + size) / target[number])
        where[label] = best
        filled[best] += size
        left -= 1
    return where[labels]


def split_counts(split: np.ndarray) -> dict[str, int]:
    """Rows of every split by name."""
    return {name: int((split == number).sum()) for number, name in enumerate(SPLITS)}


def most_rows(config: SplitConfig, rows: int) -> int:
    """The most rows that joined clusters may have, at least 2."""
    return max(2, int(config.max_component * rows + EPSILON))


def _decide(split: Split, config: SplitConfig) -> Split:
    rows = len(split.linclust)
    groups = join_clusters(split.linclust, split.links, most_rows=most_rows(config, rows), mode=config.repair)
    assigned = assign(groups.labels, fractions=config.fractions, seed=config.seed)
    parts = assigned.copy()
    parts[rows_to_purge(split.links, parts)] = PURGED
    _check_filled(parts, config)
    info = split.info | {"joined": _joined(groups)}
    return replace(split, cluster=groups.labels, assigned=assigned, split=parts, info=info)


def _check_filled(parts: np.ndarray, config: SplitConfig) -> None:
    for number, name in enumerate(SPLITS):
        if config.fractions[number] > 0 and not (parts == number).any():
            raise DataError(
                f"purging rows that are {config.identity:.0%} identical across splits leaves {name} empty",
                hint="raise split.identity or split.max_component, or give more diverse sequences",
            )


def _plain(clusters: Clusters, links: Hits, config: SplitConfig) -> dict[str, Any]:
    """What a split by LinClust alone would have leaked, by the pairs known."""
    wanted = sum(share > 0 for share in config.fractions)
    if _count(clusters.labels) < wanted:
        return {"held_out_rows": 0, "leaking_rows": 0}
    parts = assign(clusters.labels, fractions=config.fractions, seed=config.seed)
    return {"held_out_rows": int((parts > 0).sum()), "leaking_rows": len(held_out_rows(links, parts))}


def _joined(groups: Groups) -> dict[str, Any]:
    return {"clusters": _count(groups.labels), "largest_cluster": _largest(groups.labels),
            "largest_component": groups.largest_component, "percolating_rows": groups.percolating_rows,
            "percolating_components": groups.percolating}  # fmt: skip


def _count(labels: np.ndarray) -> int:
    return int(labels.max()) + 1 if len(labels) else 0


def _largest(labels: np.ndarray) -> int:
    return int(np.bincount(labels).max()) if len(labels) else 0
