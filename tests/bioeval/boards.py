"""What the tests of the leaderboard share: two folders of results, a file of others, and their board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bioeval.leaderboard.build import build_leaderboard
from bioeval.leaderboard.config import LeaderboardConfig
from tests.result_folders import add_result, write_results

N = 120
RNG = np.random.default_rng(0)
Y = RNG.standard_normal(N)
KMER, ONE_HOT = Y + 2 * RNG.standard_normal(N), Y + 1.2 * RNG.standard_normal(N)
ALPHA = Y + 0.3 * RNG.standard_normal(N)
BETA = ALPHA + 0.02 * RNG.standard_normal(N)
GAMMA = Y + 6 * RNG.standard_normal(N)
FLOORS = {"kmer": KMER, "one-hot": ONE_HOT}
OTHER: dict[str, Any] = {
    "model": "published", "task": "ranked", "metric": "spearman", "value": 0.5, "lo": 0.4, "hi": 0.6, "n": N,
    "source": "Table 2", "cost": {"parameters": 86_000_000},
}  # fmt: skip


def difference(delta: float, p: float) -> dict[str, Any]:
    return {"delta": delta, "lo": delta - 0.1, "hi": delta + 0.1, "p_value": p}


def make_inputs(root: Path) -> list[Path]:
    """Two folders and a file of others: `alpha` and `beta` tie, `gamma` is below the baselines."""
    a, b, other = root / "a", root / "b", root / "other.json"
    tasks = (("ranked", "spearman"), ("errors", "rmse"))
    rows = [add_result(a, "alpha", t, Y, ALPHA, metric=m, baselines=FLOORS) for t, m in tasks]
    for row, delta in zip(rows, (0.3, -0.4)):
        row["strongest_baseline"] = "one-hot"
        row["baselines"]["one-hot"]["difference"] = difference(delta, 0.001)
    rows[0]["leakage"]["train_test_rows"] = 7
    write_results(a, rows)
    back = {"ids": [f"r{i}" for i in range(N)][::-1], "baselines": {"kmer": KMER[::-1]}}
    rows = [
        add_result(b, name, t, Y[::-1], p[::-1], metric=m, **back)
        for name, p in (("beta", BETA), ("gamma", GAMMA), ("one-hot", ONE_HOT))
        for t, m in tasks
        if (name, t) != ("gamma", "errors")
    ]
    write_results(b, rows)
    other.write_text(json.dumps({"results": [OTHER]}))
    return [a, b, other]


def make_board(inputs: list[Path]) -> dict[str, Any]:
    """The board of these, written as `board.html` beside them."""
    names, out = tuple(map(str, inputs)), inputs[0].parent / "board.html"
    return build_leaderboard(LeaderboardConfig(inputs=names, out=out, resamples=300, title="Our models"))
