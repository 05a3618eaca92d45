"""What a simulated archive planted, and how much of it the way found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from biodata.dataset import open_dataset
from biodata.files import read_json

PLANTED_PREFIX = "DEFECT_"


def find_planted(truth: Path, dataset: Path) -> dict[str, Any]:
    """Holds a dataset against the truth of its simulator.

    Args:
        truth: `truth.json` of `biodata.simulate.archive`.
        dataset: the dataset folder made from that archive.

    Returns:
        `families` (planted), `clusters` (found), `families_whole` (lying in one cluster), `families_split`
        (lying in more than one split), `clusters_mixed` (holding more than one family),
        `defects` (kind to planted and found), `best_possible_spearman`.
    """
    planted = read_json(truth)
    data = open_dataset(dataset)
    columns = ["id", "cluster", "split"]
    rows = [row for split in data.splits for row in data.table(split, columns=columns).to_pylist()]
    known = [
        (planted["families"][r["id"]], r["cluster"], r["split"])
        for r in rows
        if r["id"] in planted["families"]
    ]
    family = np.array([f for f, _, _ in known])
    cluster = np.array([c for _, c, _ in known])
    split = np.array([s for _, _, s in known])
    return {
        "families": len(np.unique(family)),
        "clusters": len(np.unique(cluster)),
        "families_whole": _count_single(family, cluster),
        "families_split": len(np.unique(family)) - _count_single(family, split),
        "clusters_mixed": len(np.unique(cluster)) - _count_single(cluster, family),
        "defects": _defects(planted["planted"], data.manifest, dataset),
        "best_possible_spearman": planted["best_possible_spearman"],
    }


def _count_single(group: np.ndarray, value: np.ndarray) -> int:
    """How many groups hold one value only."""
    pairs = set(zip(group.tolist(), value.tolist()))
    values = np.unique([g for g, _ in pairs], return_counts=True)[1]
    return int((values == 1).sum())


def _defects(planted: dict[str, int], manifest: dict[str, Any], dataset: Path) -> dict[str, dict[str, int]]:
    import pyarrow.parquet as pq

    listed = pq.read_table(dataset / "removed" / "dropped.parquet", columns=["id", "reason"]).to_pylist()
    mine = [row["reason"] for row in listed if (row["id"] or "").startswith(PLANTED_PREFIX)]
    counted = {"lower-case": "upper-cased", "ambiguous": "ambiguous-kept"}
    found = {kind: mine.count(kind) for kind in planted}
    found |= {kind: manifest["changed"].get(rule, 0) for kind, rule in counted.items()}
    found["pseudo"] = manifest["dropped"].get("pseudo", 0)
    return {kind: {"planted": count, "found": found[kind]} for kind, count in planted.items()}
