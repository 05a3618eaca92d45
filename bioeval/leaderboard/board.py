"""Places, ties and power of every task, and what they come to over all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from biodata.errors import DataError
from biodata.files import fingerprint
from biodata.progress import progress
from bioeval.leaderboard.entries import Entry, lower_is_better, parameters_of
from bioeval.results import SIGNIFICANT
from bioeval.stats import Resampling, Standing, holm, joint_draws, standings
from bioeval.stats.power import detectable_difference
from bioeval.stats.ranks import Draws
from bioeval.stored import difference_between

Json = dict[str, Any]
_HALF_WIDTH = 1.959964  # standard errors in half a 95 % interval


def make_board(entries: Sequence[Entry], how: Resampling) -> Json:
    """The figures of a leaderboard.

    Args:
        entries: of `entries.read_entries`.
        how: resamples and seed of the joint bootstrap.

    Returns:
        `tasks[]` with `rows[]` in order of place, and `models[]` over all tasks.

    Raises:
        DataError: a task with two metrics, or scored on different items.
    """
    names = list(dict.fromkeys(e.result.task for e in entries))
    tasks = []
    with progress("ranking", len(names)) as advance:
        for name in names:
            tasks.append(_task(name, [e for e in entries if e.result.task == name], how))
            advance(1)
    _correct(tasks)
    return {"tasks": tasks, "models": _overall(tasks), "resamples": how.resamples, "seed": how.seed,
            "level": how.level}  # fmt: skip


def _task(name: str, entries: Sequence[Entry], how: Resampling) -> Json:
    first = entries[0]
    for other in entries:
        if other.result.metric != first.result.metric:
            metrics = f"{first.result.metric} in {first.origin}, {other.result.metric} in {other.origin}"
            raise DataError(f"task {name}: scored by different metrics, {metrics}")
    down = lower_is_better(first.result)
    found = _draws(name, entries, how, down=down)
    places = standings(found, level=how.level)
    rows = [_row(e, places.get(e.model)) for e in entries]
    best_first = sorted(rows, key=lambda r: (r["rank"] is None, r["rank"] or 0, r["model"]))
    detectable = _detectable(found, [e.model for e in entries if not e.baseline], how)
    size = next((len(e.stored.ids) for e in entries if e.stored), first.result.n)
    stored = next((e.stored for e in entries if e.stored), None)
    groups = len(set(stored.groups)) if stored and stored.groups else None
    return {
        "task": name, "metric": first.result.metric, "lower_is_better": down, "n": size, "groups": groups,
        "detectable": detectable, "power": _power(detectable, groups, size),
        "caution": next((e.result.interval.caution for e in entries if e.result.interval.caution), ""),
        "rows": best_first,
    }  # fmt: skip


def _draws(name: str, entries: Sequence[Entry], how: Resampling, *, down: bool) -> Draws:
    """All models on the same resamples; of those without predictions, normal draws from their interval."""
    paired = [e for e in entries if e.stored is not None and e.prediction is not None]
    names: list[str] = []
    values: list[float] = []
    draws: list[np.ndarray] = []
    if paired:
        lead = paired[0].stored
        assert lead is not None
        predictions = {e.model: _aligned(name, paired[0], e) for e in paired}
        joint = joint_draws(
            paired[0].result.metric, lead.y, predictions, groups=lead.groups, how=how
        )  # fmt: skip
        names, values, draws = list(joint.names), list(joint.values), list(joint.draws)
    for entry in entries:
        known = entry.scored
        if entry.model in names or known.value is None or known.lo is None or known.hi is None:
            continue
        rng = np.random.default_rng([how.seed, int(fingerprint([name, entry.model])[:12], 16)])
        spread = (known.hi - known.lo) / (2 * _HALF_WIDTH)
        names.append(entry.model)
        values.append(known.value)
        draws.append(known.value + spread * rng.standard_normal(how.resamples))
    shape = (len(names), how.resamples)
    return Draws(
        names=tuple(names), values=np.array(values), draws=np.array(draws).reshape(shape),
        lower_is_better=down,
    )  # fmt: skip


def _aligned(task: str, lead: Entry, entry: Entry) -> np.ndarray:
    assert lead.stored is not None and entry.stored is not None and entry.prediction is not None
    if entry.stored.items == lead.stored.items and entry.stored.ids == lead.stored.ids:
        return entry.prediction
    other = difference_between(lead.stored, entry.stored)
    if other:
        raise DataError(f"task {task}: not scored on the same items: {other}")
    place = {item: i for i, item in enumerate(entry.stored.ids)}
    return entry.prediction[[place[item] for item in lead.stored.ids]]


def _row(entry: Entry, place: Standing | None) -> Json:
    scored, result = entry.scored, entry.result
    strongest = None if entry.baseline else result.strongest_baseline
    rival = result.baselines.get(strongest or "")
    difference = rival.difference.model_dump() if rival and rival.difference else None
    return {
        "model": entry.model, "baseline": entry.baseline, "value": scored.value, "lo": scored.lo,
        "hi": scored.hi, "rank": place.rank if place else None, "rank_lo": place.lo if place else None,
        "rank_hi": place.hi if place else None, "tie_group": place.group if place else None,
        "beats": list(place.beats) if place else [], "paired": entry.stored is not None,
        "strongest_baseline": strongest, "difference": difference,
        "leaking_rows": result.leakage.train_test_rows, "test_rows": result.leakage.test_rows or result.n,
        "parameters": parameters_of(entry), "seconds": scored.cost.seconds,
        "origin": result.source or entry.origin,
    }  # fmt: skip


def _detectable(found: Draws, models: Sequence[str], how: Resampling) -> float | None:
    """What a difference between two models can show, the median over pairs; of all rows where models lack."""
    chosen = [i for i, name in enumerate(found.names) if name in models]
    if len(chosen) < 2:
        chosen = list(range(len(found.names)))
    spreads = []
    for i, j in combinations(chosen, 2):
        difference = found.draws[i] - found.draws[j]
        known = difference[np.isfinite(difference)]
        if len(known) > 1 and known.std() > 1e-12:
            spreads.append(float(known.std(ddof=1)))
    return detectable_difference(float(np.median(spreads)), level=how.level) if spreads else None


def _power(detectable: float | None, groups: int | None, n: int | None) -> str:
    if detectable is None:
        return ""
    size = f"{groups:,} groups" if groups else f"{n:,} rows" if n else "of unknown size"
    return f"this test set ({size}) cannot tell apart differences under {detectable:.2g}"


def _correct(tasks: Sequence[Json]) -> None:
    """Holm over every comparison with a strongest baseline on the board."""
    compared = [(task, row) for task in tasks for row in task["rows"] if row["difference"]]
    for (task, row), p in zip(compared, holm([row["difference"]["p_value"] for _, row in compared])):
        difference = row["difference"]
        difference["p_holm"] = p
        row["verdict"] = _verdict(difference, p, down=task["lower_is_better"])


def _verdict(difference: Mapping[str, Any], p: float | None, *, down: bool) -> str:
    delta, lo, hi = (difference[k] for k in ("delta", "lo", "hi"))
    if delta is None or lo is None or hi is None or p is None:
        return "unknown"
    if p > SIGNIFICANT or lo <= 0 <= hi:
        return "not told apart"
    return "better" if (delta > 0) != down else "worse"


def _overall(tasks: Sequence[Json]) -> list[Json]:
    names = list(dict.fromkeys(row["model"] for task in tasks for row in task["rows"]))
    rows = [_model(name, tasks) for name in names]
    rows.sort(
        key=lambda r: (r["tasks"] < len(tasks), r["mean_rank"] is None, r["mean_rank"] or 0, r["model"])
    )
    group, leader, place = 0, None, 0
    for i, row in enumerate(rows):
        row["place"] = row["tie_group"] = None
        if row["tasks"] < len(tasks):
            continue
        if leader is None or row["mean_rank_lo"] > leader["mean_rank_hi"]:
            group, leader = group + 1, row
        if i == 0 or row["mean_rank"] > rows[i - 1]["mean_rank"]:
            place = i + 1
        row["place"], row["tie_group"] = place, group
    if len(tasks) == 1:  # what its comparisons say, which is finer than places that overlap
        groups = {row["model"]: row["tie_group"] for row in tasks[0]["rows"]}
        for row in rows:
            row["tie_group"] = groups[row["model"]] if row["place"] else None
    return rows


def _model(name: str, tasks: Sequence[Json]) -> Json:
    found = [(task, row) for task in tasks for row in task["rows"] if row["model"] == name]
    ranked = [(task, row) for task, row in found if row["rank"] is not None]
    wins = sum(len(row["beats"]) for _, row in ranked)
    losses = sum(name in other["beats"] for task, _ in ranked for other in task["rows"])
    met = sum(sum(other["rank"] is not None for other in task["rows"]) - 1 for task, _ in ranked)
    checked = [row["leaking_rows"] for _, row in found if row["leaking_rows"] is not None]
    sizes = [row["parameters"] for _, row in found if row["parameters"] is not None]
    times = [row["seconds"] for _, row in found if row["seconds"] is not None]
    means = {
        f"mean_{key}": float(np.mean([row[key] for _, row in ranked])) if ranked else None
        for key in ("rank", "rank_lo", "rank_hi")
    }
    verdicts = [row.get("verdict") for _, row in found if row["difference"]]
    return {
        "model": name, "baseline": all(row["baseline"] for _, row in found), "tasks": len(ranked), **means,
        "wins": wins, "ties": met - wins - losses, "losses": losses,
        "above_baseline": verdicts.count("better"), "against_baseline": len(verdicts),
        "leaking_tasks": sum(map(bool, checked)) if checked else None,
        "parameters": max(sizes, default=None), "seconds": sum(times) if times else None,
    }  # fmt: skip
