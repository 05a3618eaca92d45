"""Results of an evaluation: what is computed from predictions, and how it is kept.

`DIR/results.json` holds one object for each (model, task); `DIR/predictions/<model>__<task>.parquet` one row
for each test row. Both are written whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.errors import DataError
from biodata.files import atomic_path, fingerprint, read_json, write_json
from bioeval.leakage import Leakage
from bioeval.scores import LEAST_ROWS, LOWER_IS_BETTER, metrics_for, score
from bioeval.stats import Comparison, Resampling, compare, interval
from bioeval.tasks import Task

_KEY = "seqloom.result_key"
SIGNIFICANT = 0.05
"""Largest p-value at which a difference is called one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A probe on one embedder and task.

    Attributes:
        name: of the embedder.
        key: of the embedder.
        validation: score of the chosen setting on validation.
        settings: what was chosen.
        predictions: float64, for each test row.
    """

    name: str
    key: str
    validation: float
    settings: Mapping[str, Any]
    predictions: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A result and its predictions."""

    result: dict[str, Any]
    table: pa.Table


def scored(
    model: str, run: Run, rivals: Mapping[str, Run], task: Task, leakage: Leakage, how: Resampling
) -> Entry:
    """Scores the test rows of a run and of its rivals, and compares them in pairs.

    Args:
        model: name of the embedder.
        run: its probe on the task.
        rivals: name to probe of every baseline.
        task: with measured values and groups of its test rows.
        leakage: which test rows have a near copy in train.
        how: resamples, seed, level.
    """
    y, groups, metric = task.values("test"), task.groups("test"), task.metric
    whole = interval(metric, y, run.predictions, groups=groups, how=how).as_dict()
    differences = {
        name: compare(metric, y, run.predictions, rival.predictions, groups=groups, how=how)
        for name, rival in rivals.items()
    }
    baselines = {
        name: {
            **interval(metric, y, rival.predictions, groups=groups, how=how).as_dict(),
            "validation": _number(rival.validation), "settings": dict(rival.settings),
            "difference": differences[name].as_dict(),
        }
        for name, rival in rivals.items()
    }  # fmt: skip
    strongest = _strongest(rivals, metric)
    verdict = verdict_sentence(strongest, differences.get(strongest or ""), metric)
    bounds = {k: whole.pop(k) for k in ("value", "lo", "hi")}
    result = {
        "model": model, "task": task.name, "metric": metric, **bounds, "n": len(y), "split": "test",
        "interval": {"level": how.level, **whole}, "validation": _number(run.validation),
        "other_metrics": {
            m: _number(score(m, y, run.predictions))
            for m in metrics_for("regression", classes=False)
            if m != metric
        },
        "baselines": baselines, "strongest_baseline": strongest, "verdict": verdict,
        "leakage": {**leakage.as_dict(), "score_without_leaking_rows": _clean(run, task, leakage, how)},
        "embedding_key": run.key, "licence": task.config.licence,
    }  # fmt: skip
    result["sentence"] = _sentence(result, leakage)
    return Entry(result=result, table=_table(run, rivals, task, leakage))


def verdict_sentence(rival: str | None, difference: Comparison | None, metric: str) -> str:
    """Whether a model is better than a baseline, in one sentence.

    "Better" needs both the interval and the p-value of the paired bootstrap to say so: on small test sets
    the two can disagree.

    Args:
        rival: name of the strongest baseline, None for none.
        difference: model minus rival.
        metric: a name of `bioeval.scores.SCORES`; of some lower is better.

    >>> verdict_sentence(None, None, "spearman")
    'no baseline to compare with'
    """
    if rival is None or difference is None:
        return "no baseline to compare with"
    delta = difference.delta
    if delta.value is None or delta.lo is None or delta.hi is None:
        return f"cannot be compared with {rival}: the {metric} of one of them is undefined"
    lo, hi = (-delta.hi, -delta.lo) if metric in LOWER_IS_BETTER else (delta.lo, delta.hi)
    clear = difference.p_value is not None and difference.p_value <= SIGNIFICANT
    word = "better than" if clear and lo > 0 else "worse than" if clear and hi < 0 else "not better than"
    figures = f"{delta.value:+.3f} [{delta.lo:+.3f}, {delta.hi:+.3f}]"
    return f"{word} {rival}: difference {figures}, paired bootstrap"


def finished(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Results of earlier calls by (model, task); those without their predictions do not count.

    Raises:
        DataError: `results.json` is there but is no results file.
    """
    path = Path(out) / "results.json"
    if not path.is_file():
        return {}
    try:
        rows = read_json(path)["results"]
        found = {(row["model"], row["task"]): row for row in rows}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(f"no results file: {error!r}", where=path, hint="move it away") from error
    return {k: row for k, row in found.items() if _key_of(_predictions(out, *k)) == row.get("key")}


def save(out: Path, result: dict[str, Any], table: pa.Table | None) -> None:
    """Adds a result, its predictions first, so that a result never stands without them.

    Args:
        out: folder of the results.
        result: one entry of `results.json`; takes the place of the same model and task.
        table: predictions of every test row; None for a result that is there already: nothing is written.
    """
    out = Path(out)
    if table is None:
        return
    with atomic_path(_predictions(out, result["model"], result["task"])) as part:
        pq.write_table(table.replace_schema_metadata({_KEY: result["key"]}), part, compression="zstd")
    rows = {**finished(out), (result["model"], result["task"]): result}
    ordered = [rows[k] for k in sorted(rows, key=lambda k: (k[1], k[0]))]
    write_json(out / "results.json", {"results": ordered})


def _predictions(out: Path, model: str, task: str) -> Path:
    return Path(out) / "predictions" / f"{_slug(model)}__{_slug(task)}.parquet"


def _key_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    metadata = pq.read_schema(path).metadata or {}
    return metadata.get(_KEY.encode(), b"").decode()


def _slug(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "model"
    return plain if plain == name else f"{plain[-60:]}-{fingerprint(name)[:8]}"


def _strongest(rivals: Mapping[str, Run], metric: str) -> str | None:
    sign = -1 if metric in LOWER_IS_BETTER else 1
    known = [name for name in sorted(rivals) if np.isfinite(rivals[name].validation)]
    return max(known, key=lambda name: sign * rivals[name].validation, default=None)


def _clean(run: Run, task: Task, leakage: Leakage, how: Resampling) -> dict[str, Any]:
    kept = ~leakage.leaking
    n = int(kept.sum())
    if n < LEAST_ROWS:
        return {"value": None, "lo": None, "hi": None, "n": n}
    groups = task.groups("test")
    inner = None if groups is None else [g for g, keep in zip(groups, kept) if keep]
    found = interval(task.metric, task.values("test")[kept], run.predictions[kept], groups=inner, how=how)
    return {"value": found.value, "lo": found.lo, "hi": found.hi, "n": n}


def _table(run: Run, rivals: Mapping[str, Run], task: Task, leakage: Leakage) -> pa.Table:
    rows = task.rows("test")
    columns: dict[str, Any] = {
        "id": rows.column("id"), "split": rows.column("split"), "group": rows.column("group"),
        "y": rows.column("value"), "leaking": pa.array(leakage.leaking), "prediction": run.predictions,
    }  # fmt: skip
    columns.update({f"prediction_{name}": rival.predictions for name, rival in rivals.items()})
    return pa.table(columns)


def _sentence(result: Mapping[str, Any], leakage: Leakage) -> str:
    value, lo, hi = (_shown(result[k]) for k in ("value", "lo", "hi"))
    head = f"{result['model']} {result['metric']} {value} [{lo}, {hi}] (n = {result['n']})"
    return f"{head}; {result['verdict']}; {leakage.sentence}"


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
