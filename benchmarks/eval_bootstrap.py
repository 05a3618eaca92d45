"""2,000 bootstrap resamples of Spearman's correlation on 10,000 rows, beside scipy.stats.bootstrap.

    python benchmarks/eval_bootstrap.py [--rows N] [--resamples N] [--rounds 3] [--clock cpu] [--json F]

Ours is the whole of `bioeval.stats.interval` (percentile and BCa). scipy's is `bootstrap(paired=True,
vectorized=True, method="percentile", batch=50)` of a vectorised Spearman (`scipy.stats.rankdata`, Pearson of
the ranks); its BCa leaves out every row in turn, a hundred million values more, and is not asked for. They
take turns in one process, on one thread; ratios are of the same round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def ours(y: np.ndarray, p: np.ndarray, resamples: int) -> tuple[float, float]:
    """Bounds of the percentile method, with BCa computed beside."""
    from bioeval.stats import Resampling, interval

    lo, hi = interval("spearman", y, p, how=Resampling(resamples=resamples)).percentile
    assert lo is not None and hi is not None
    return lo, hi


def theirs(y: np.ndarray, p: np.ndarray, resamples: int) -> tuple[float, float]:
    """Bounds of scipy's percentile method."""
    from scipy.stats import bootstrap, rankdata

    def spearman(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        a, b = rankdata(a, axis=axis), rankdata(b, axis=axis)
        a, b = a - a.mean(axis, keepdims=True), b - b.mean(axis, keepdims=True)
        return (a * b).sum(axis) / np.sqrt((a * a).sum(axis) * (b * b).sum(axis))

    found = bootstrap(
        (y, p), spearman, paired=True, vectorized=True, n_resamples=resamples, method="percentile",
        batch=50, rng=np.random.default_rng(0),
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


def timed(way: Callable[..., Any], read: Callable[[], float], *data: Any) -> tuple[float, Any]:
    """Seconds of one call, and what it gave."""
    start = read()
    value = way(*data)
    return read() - start, value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="cpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    read = time.perf_counter if arguments.clock == "wall" else time.process_time
    rng = np.random.default_rng(0)
    y = rng.standard_normal(arguments.rows)
    data = (y, y + rng.standard_normal(arguments.rows), arguments.resamples)
    ours(y[:100], data[1][:100], 100), theirs(y[:100], data[1][:100], 100)  # imports
    rounds = []
    for _ in range(arguments.rounds):
        (fast, mine), (slow, other) = timed(ours, read, *data), timed(theirs, read, *data)
        rounds.append({"seqloom": fast, "scipy": slow, "ratio": slow / fast, "bounds": [mine, other]})
    middle = {k: statistics.median(r[k] for r in rounds) for k in ("seqloom", "scipy", "ratio")}
    print(f"\n| {arguments.rows} rows, {arguments.resamples} resamples | {arguments.clock} s |\n|---|---|")
    print(f"| seqloom, percentile and BCa | {middle['seqloom']:.2f} |")
    print(f"| scipy.stats.bootstrap, percentile | {middle['scipy']:.2f} |")
    print(f"| scipy / seqloom, median of {arguments.rounds} | {middle['ratio']:.1f} |")
    print(f"\nbounds: seqloom {rounds[0]['bounds'][0]}, scipy {rounds[0]['bounds'][1]}")
    if arguments.json:
        settings = {k: str(v) for k, v in vars(arguments).items()}
        result = {"settings": settings, "median": middle, "rounds": rounds}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
