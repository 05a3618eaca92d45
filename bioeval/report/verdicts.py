"""Plain judgements computed from the figures; the same rules for good and for bad news."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from bioeval.report.inputs import Json
from bioeval.results import SIGNIFICANT
from bioeval.scores import LOWER_IS_BETTER


def task_names(results: Sequence[Json]) -> list[str]:
    """Tasks in the order of their first result."""
    return list(dict.fromkeys(str(r["task"]) for r in results))


def ranked(results: Sequence[Json]) -> list[dict[str, Any]]:
    """Models and baselines of one task, best first.

    Args:
        results: results of one task; a baseline that several models share is listed once.
    """
    rows: dict[str, dict[str, Any]] = {}
    for result in results:
        rows[result["model"]] = _entry(model_name(result["model"]), result, is_model=True)
        for name, score in result.get("baselines", {}).items():
            rows.setdefault(name, _entry(model_name(name), score, is_model=False))
    sign = 1 if results[0]["metric"] in LOWER_IS_BETTER else -1
    worst = float("inf")
    return sorted(rows.values(), key=lambda row: worst if row["value"] is None else sign * row["value"])


def model_name(model: str) -> str:
    """A model's name for people: of a folder the last part, so that no page names the folders of a machine.

    >>> model_name("/data/me/run"), model_name("org/model"), model_name("random-init:/data/run")
    ('run', 'org/model', 'random-init:run')
    """
    kind, colon, path = model.rpartition(":")
    return f"{kind}{colon}{PurePath(path).name}" if path.startswith(("/", ".", "~")) else model


def standing(result: Json, baseline: str) -> str:
    """How a model stands to one of its baselines: `beats`, `about equal`, `loses`, or `unknown`.

    The 95 % interval of the paired difference (`difference` of the baseline) decides; where there is none,
    that of the model's score minus the baseline's score. It beats the baseline if the interval lies wholly on
    the better side of 0, and loses if wholly on the worse side; a p-value above 0.05 overrules both.

    >>> score = {"value": 0.3, "difference": {"delta": 0.2, "lo": 0.1, "hi": 0.3}}
    >>> result = {"metric": "spearman", "lo": 0.4, "hi": 0.6, "baselines": {"a": score}}
    >>> standing(result, "a"), standing(result | {"metric": "rmse"}, "a")
    ('beats', 'loses')
    """
    score = result.get("baselines", {}).get(baseline)
    if not score or score.get("value") is None or result.get("lo") is None or result.get("hi") is None:
        return "unknown"
    low, high = result["lo"] - score["value"], result["hi"] - score["value"]
    paired = score.get("difference", {})
    if paired.get("lo") is not None and paired.get("hi") is not None:
        low, high = paired["lo"], paired["hi"]
    if (paired.get("p_value") or 0.0) > SIGNIFICANT:
        return "about equal"
    if result["metric"] in LOWER_IS_BETTER:
        low, high = -high, -low
    return "beats" if low > 0 else "loses" if high < 0 else "about equal"


def naturalness(metrics: Json) -> tuple[int, int, int]:
    """Counts of metrics: within what nature shows against itself, outside, and inside but without power.

    Those that say nothing about so few or so short sequences are in none of them.
    """
    judged = [m for m in metrics.values() if m["within_null"] is not None]
    outside = sum(not m["within_null"] for m in judged)
    powerless = sum(m["within_null"] and not m["tells"] for m in judged)
    return len(judged) - outside - powerless, outside, powerless


def _entry(name: str, score: Json, *, is_model: bool) -> dict[str, Any]:
    return {"name": name, "is_model": is_model} | {k: score.get(k) for k in ("value", "lo", "hi")}
