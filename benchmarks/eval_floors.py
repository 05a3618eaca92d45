"""The floors that others measured on real mRNA tasks, measured again by `seqloom eval`'s own parts.

    SEQLOOM_REAL_DATA=... python benchmarks/eval_floors.py [--only mrfp ...] [--seeds 3] [--json F]

Published values: measured with scikit-learn before this package existed, on the publishers' splits where
there are some (mRFP, CoV, MLOS), else on three random splits (E. coli, iCodon by gene), hyper-parameters
chosen on validation. Ours: the same features and probe, chosen on validation, test scored once; 95 %
bootstrap interval on given splits, one value a seed on drawn ones (their mean is compared). What CodonBERT
and HELM report stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioeval.baselines import BASELINES
from bioeval.cache import EmbeddingCache
from bioeval.running.answers import Asker, test_items
from bioeval.running.repeats import resplit
from bioeval.scores import score
from bioeval.stats import Resampling, interval
from bioeval.tasks import Task, load_task


@dataclass(frozen=True)
class Floor:
    """One published value.

    Attributes:
        task: name of a task that ships.
        features: name of a baseline.
        probe: name of a probe.
        published: one value, or one for each of several random splits.
        within: largest difference that still is the same finding (split, seed and grid differ).
        models: what language models report on it.
    """

    task: str
    features: str
    probe: str
    published: tuple[float, ...]
    within: float
    models: str = ""


FLOORS = (
    Floor("mrfp", "one-hot", "svr", (0.806,), 0.02, "CodonBERT .85, HELM .822"),
    Floor("mrfp", "one-hot", "ridge", (0.786,), 0.02),
    Floor("mrfp", "codon-freq", "ridge", (0.574,), 0.02),
    Floor("cov-degradation", "codon-freq", "random-forest", (0.827,), 0.02, "CodonBERT .77"),
    Floor("cov-degradation", "kmer", "random-forest", (0.833,), 0.03),
    Floor("mlos", "codon-freq", "ridge", (0.563,), 0.05, "HELM .701 on 25 rows"),
    Floor("icodon", "codon-freq", "ridge", (0.27, 0.34, 0.29), 0.03, "CodonBERT .51, HELM .525 by row"),
    Floor("icodon", "codon-freq", "random-forest", (0.27, 0.31, 0.30), 0.04),
    Floor("ecoli-abundance", "codon-freq", "ridge", (0.66, 0.64, 0.61), 0.02),
    Floor("ecoli-abundance", "codon-freq", "random-forest", (0.65, 0.63, 0.60), 0.03),
)


def measured(floor: Floor, *, seeds: int) -> dict[str, Any]:
    """Our value of a floor.

    Args:
        floor: task, features and probe.
        seeds: splits where the published ones are random.
    """
    task, start = load_task(floor.task), time.process_time()
    if len(floor.published) == 1:
        values, bounds = _once(task, floor)
    else:
        values, bounds = [_value(resplit(task, seed), floor) for seed in range(seeds)], None
    low, high = min(floor.published) - floor.within, max(floor.published) + floor.within
    return {
        "task": floor.task, "features": floor.features, "probe": floor.probe, "values": values,
        "interval": bounds, "published": list(floor.published), "range": [round(low, 3), round(high, 3)],
        "inside": bool(low <= np.mean(values) <= high), "models": floor.models,
        "cpu_seconds": round(time.process_time() - start, 1),
    }  # fmt: skip


def _once(task: Task, floor: Floor) -> tuple[list[float], list[float | None]]:
    run, items = _run(task, floor), test_items(task)
    found = interval(task.metric, items.y, run.predictions, groups=items.groups, how=Resampling())
    return [found.value or 0.0], [found.lo, found.hi]


def _value(task: Task, floor: Floor) -> float:
    return score(task.metric, test_items(task).y, _run(task, floor).predictions)


def _run(task: Task, floor: Floor) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        asker = Asker(task=task, probe=floor.probe, cache=EmbeddingCache(Path(folder)), seed=0)
        return asker.probed(BASELINES.load(floor.features)(task), cached=False)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    values = ", ".join(f"{value:.3f}" for value in row["values"])
    bounds = "" if row["interval"] is None else " [{:.3f}, {:.3f}]".format(*row["interval"])
    published = ", ".join(f"{value:.3f}".rstrip("0") for value in row["published"])
    verdict = "yes" if row["inside"] else "NO"
    what = f"{row['features']} + {row['probe']}"
    return (
        f"| {row['task']} | {what} | {values}{bounds} | {published} | {verdict} | {row['models']} "
        f"| {row['cpu_seconds']} |"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="The floors of real mRNA tasks.")
    parser.add_argument("--only", nargs="*", default=[], help="names of tasks")
    parser.add_argument("--seeds", type=int, default=3, help="splits where they are random")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    given = parser.parse_args()
    if "SEQLOOM_REAL_DATA" not in os.environ:
        print(
            "not run: SEQLOOM_REAL_DATA is not set (the files are for non-commercial use and never shipped)"
        )
        return
    print("| task | features + probe | ours | published floor | inside | language models report | CPU s |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for floor in FLOORS:
        if not given.only or floor.task in given.only:
            rows.append(measured(floor, seeds=given.seeds))
            print(line(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
