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
from bioeval.running.answers import Run
from bioeval.running.items import Items
from bioeval.scores import LEAST_ROWS, LOWER_IS_BETTER, metrics_for
from bioeval.shown import score_shown, shown
from bioeval.stats import Comparison, Interval, Resampling, compare, interval
from bioeval.tasks import Task

_KEY = "seqloom.result_key"
SIGNIFICANT = 0.05
"""Largest p-value at which a difference is called one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A result and its predictions."""

    result: dict[str, Any]
    table: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What predictions are judged by.

    Attributes:
        task: its name, metric and kind.
        items: what is scored.
        leakage: which test rows have a near copy in train.
        how: resamples, seed, level.
    """

    task: Task
    items: Items
    leakage: Leakage
    how: Resampling

    def interval(self, p: np.ndarray, keep: np.ndarray | None = None) -> Interval:
        """The task's metric of predictions, of all items or of those kept."""
        items = self.items if keep is None else self.items.kept(keep)
        p = p if keep is None else p[keep]
        return interval(self.task.metric, items.y, p, groups=items.groups, how=self.how)

    def without(self, p: np.ndarray, leaking: np.ndarray) -> dict[str, Any]:
        """The metric of the items whose rows do not leak.

        Args:
            p: predictions of all items.
            leaking: bool for each test row.
        """
        kept = ~leaking[self.items.row]
        n = int(kept.sum())
        if n < LEAST_ROWS:
            return {"value": None, "lo": None, "hi": None, "n": n}
        found = self.interval(p, kept)
        return {"value": found.value, "lo": found.lo, "hi": found.hi, "n": n}

    def others(self, run: Run, rival: Run | None) -> dict[str, Any]:
        """The other metrics of the kind, each with its interval and that of the strongest baseline.

        Args:
            run: a model's predictions.
            rival: those of the baseline.
        """
        found = {}
        for metric in metrics_for(self.task.kind, classes=bool(self.task.classes)):
            if metric != self.task.metric:
                found[metric] = self._bounds(metric, run.predictions)
                if rival is not None:
                    found[metric]["baseline"] = self._bounds(metric, rival.predictions)
        return found

    def _bounds(self, metric: str, p: np.ndarray) -> dict[str, Any]:
        one = interval(metric, self.items.y, p, groups=self.items.groups, how=self.how)
        why = {k: v for k, v in (("reason", one.reason), ("caution", one.caution)) if v}
        return {"value": one.value, "lo": one.lo, "hi": one.hi, **why}

    def compare(self, a: np.ndarray, b: np.ndarray) -> Comparison:
        """Predictions `a` minus predictions `b`."""
        items = self.items
        return compare(self.task.metric, items.y, a, b, groups=items.groups, how=self.how)


def scored(model: str, run: Run, rivals: Mapping[str, Run], judged: Judged) -> Entry:
    """Scores the test items of a run and of its rivals, and compares them in pairs.

    Args:
        model: name of the embedder.
        run: its probe on the task.
        rivals: name to probe of every baseline.
        judged: items, leakage and how intervals are made.
    """
    task, items, metric = judged.task, judged.items, judged.task.metric
    whole = judged.interval(run.predictions).as_dict()
    differences = {name: judged.compare(run.predictions, r.predictions) for name, r in rivals.items()}
    baselines = {name: _baseline(rival, differences[name], judged) for name, rival in rivals.items()}
    strongest = _strongest(rivals, baselines, metric)
    verdict = verdict_sentence(strongest, differences.get(strongest or ""), metric)
    bounds = {k: whole.pop(k) for k in ("value", "lo", "hi")}
    leaking = judged.leakage.leaking
    clean = judged.without(run.predictions, leaking) if leaking.any() else {**bounds, "n": len(items.y)}
    result = {
        "model": model, "task": task.name, "kind": task.kind, "metric": metric, **bounds,
        "n": len(items.y), "split": "test", "classes": list(task.classes),
        "interval": {"level": judged.how.level, **whole}, "validation": _number(run.validation),
        "other_metrics": judged.others(run, rivals.get(strongest or "")),
        "baselines": baselines, "strongest_baseline": strongest, "verdict": verdict,
        "leakage": {**judged.leakage.as_dict(), "score_without_leaking_rows": clean},
        "embedding_key": run.key, "licence": task.config.licence,
        "items": fingerprint([list(items.ids), items.y.tolist(), *([items.truth] if items.truth else [])]),
    }  # fmt: skip
    result["sentence"] = _sentence(result, judged.leakage)
    return Entry(result=result, table=_table(run, rivals, judged))


def _baseline(rival: Run, difference: Comparison, judged: Judged) -> dict[str, Any]:
    return {
        **judged.interval(rival.predictions).as_dict(), "validation": _number(rival.validation),
        "settings": dict(rival.settings), "cost": dict(rival.cost), "difference": difference.as_dict(),
    }  # fmt: skip


def verdict_sentence(rival: str | None, difference: Comparison | None, metric: str) -> str:
    """Whether a model is better than a baseline, in one sentence.

    "Better" needs both the paired bootstrap interval and the p-value of the paired test to say so: on small
    test sets the two can disagree. Where it is not clear, what the test set cannot tell stands beside.

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
    limit = "" if word != "not better than" or not difference.detectable else f"; {difference.power_sentence}"
    return f"{word} {rival}: difference {figures}, {difference.test} p = {difference.p_value:.2g}{limit}"


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
    return {k: row for k, row in found.items() if _key_of(predictions_path(out, *k)) == row.get("key")}


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
    with atomic_path(predictions_path(out, result["model"], result["task"])) as part:
        pq.write_table(table.replace_schema_metadata({_KEY: result["key"]}), part, compression="zstd")
    rows = {**finished(out), (result["model"], result["task"]): result}
    ordered = [rows[k] for k in sorted(rows, key=lambda k: (k[1], k[0]))]
    write_json(out / "results.json", {"results": ordered})


def predictions_path(out: Path, model: str, task: str) -> Path:
    """The Parquet file with the predictions of a model on a task.

    Args:
        out: folder of the results.
        model: its name in `results.json`.
        task: its name there.
    """
    return Path(out) / "predictions" / f"{_slug(model)}__{_slug(task)}.parquet"


def _key_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    metadata = pq.read_schema(path).metadata or {}
    return metadata.get(_KEY.encode(), b"").decode()


def _slug(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "model"
    return plain if plain == name else f"{plain[-60:]}-{fingerprint(name)[:8]}"


def _strongest(rivals: Mapping[str, Run], scores: Mapping[str, Mapping[str, Any]], metric: str) -> str | None:
    """The baseline that validation prefers; where nothing is validated the best on test, which is unfair to
    the model and not to the baselines."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    known = {name: r.validation for name, r in sorted(rivals.items()) if np.isfinite(r.validation)}
    if not known:
        known = {name: s["value"] for name, s in sorted(scores.items()) if s["value"] is not None}
    return max(known, key=lambda name: sign * known[name], default=None)


def _table(run: Run, rivals: Mapping[str, Run], judged: Judged) -> pa.Table:
    items, n = judged.items, len(judged.items.y)
    columns: dict[str, Any] = {
        "id": pa.array(items.ids, pa.string()), "split": pa.array(["test"] * n, pa.string()),
        "group": pa.array(items.groups or [None] * n, pa.string()), "y": _column(items.y),
        "leaking": pa.array(judged.leakage.leaking[items.row]), "prediction": _column(run.predictions),
    }  # fmt: skip
    columns.update({f"prediction_{name}": _column(rival.predictions) for name, rival in rivals.items()})
    return pa.table(columns)


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.astype(np.float64).ravel()))


def _sentence(result: Mapping[str, Any], leakage: Leakage) -> str:
    value, lo, hi = (shown(result[k]) for k in ("value", "lo", "hi"))
    bounds = f"[{lo}, {hi}]" if result["value"] is not None else f"({result['interval'].get('reason')})"
    caution = f"; {said}" if (said := result["interval"].get("caution")) else ""
    head = f"{result['model']} {result['metric']} {value} {bounds} (n = {result['n']}){caution}"
    clean = without_leaking(result["leakage"]) if leakage.leaking.any() else ""
    return f"{head}; {result['verdict']}; {leakage.sentence}{clean and f', {clean}'}"


def without_leaking(leakage: Mapping[str, Any]) -> str:
    """The score of the items whose rows have no near copy in train, one phrase.

    Args:
        leakage: that of an entry of `results.json`; of results of others it may lack the score.

    >>> without_leaking({"score_without_leaking_rows": {"value": 0.5, "lo": 0.25, "hi": 0.75, "n": 40}})
    'without them 0.500 [0.250, 0.750] (n = 40)'
    >>> without_leaking({"score_without_leaking_rows": {"value": None, "lo": None, "hi": None, "n": 2}})
    'without them undefined (n = 2)'
    """
    clean = leakage.get("score_without_leaking_rows")
    return "" if clean is None else f"without them {score_shown(clean)}"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
