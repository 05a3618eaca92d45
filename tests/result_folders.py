"""Folders as `seqloom eval run` leaves them, from made-up predictions, without any model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.files import fingerprint, write_json
from bioeval.results import predictions_path
from bioeval.stats import Resampling, interval

QUICK = Resampling(resamples=200)


def write_results(folder: Path, results: list[dict[str, Any]]) -> Path:
    """`results.json` alone."""
    write_json(folder / "results.json", {"results": results})
    return folder


def add_result(
    folder: Path, model: str, task: str, y: np.ndarray, p: np.ndarray, *, metric: str = "spearman",
    baselines: Mapping[str, np.ndarray] | None = None, **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """Writes the predictions and returns the entry of `results.json`.

    Args:
        folder: of the results.
        model: its name.
        task: its name.
        y: measured values.
        p: predictions.
        metric: of the task.
        baselines: name to predictions.
        changes: other fields; `ids` and `groups` of the items.
    """
    ids = changes.pop("ids", None) or [f"r{i}" for i in range(len(y))]
    groups = changes.pop("groups", None)
    others = dict(baselines or {})

    def scored(values: np.ndarray) -> dict[str, Any]:
        return interval(metric, y, values, groups=groups, how=QUICK).as_dict()

    columns: dict[str, Any] = {
        "id": pa.array(ids), "split": pa.array(["test"] * len(y)),
        "group": pa.array(groups or [None] * len(y), pa.string()), "y": pa.array(y),
        "prediction": pa.array(p),
        **{f"prediction_{name}": pa.array(values) for name, values in others.items()},
    }  # fmt: skip
    key = fingerprint([model, task, ids])
    path = predictions_path(folder, model, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata({"seqloom.result_key": key}), path)
    whole = scored(p)
    return {
        "model": model, "task": task, "metric": metric, **{k: whole[k] for k in ("value", "lo", "hi")},
        "n": len(y), "split": "test", "baselines": {name: scored(v) for name, v in others.items()},
        "leakage": {"train_test_rows": 0, "test_rows": len(y), "identity": 0.9},
        "cost": {"parameters": 1000, "seconds": 1.5}, "embedding_key": "k", "seed": 0, "key": key, **changes,
    }  # fmt: skip
