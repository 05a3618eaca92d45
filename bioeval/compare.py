"""`seqloom eval compare`: two models on the same items of the same tasks, corrected for all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError, DataError
from biodata.progress import progress
from bioeval.baselines import BASELINES
from bioeval.results import SIGNIFICANT
from bioeval.scores import LOWER_IS_BETTER
from bioeval.stats import Comparison, Resampling, benjamini_hochberg, compare, holm
from bioeval.stored import Stored, difference_between, read_predictions, read_results


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    """Which results to compare."""

    first: Path = field(metadata={"help": "folder of eval run"})
    second: Path = field(metadata={"help": "another one, or the same with another model"})
    first_model: str | None = field(
        default=None,
        metadata={"help": "model or baseline of FIRST (default: the only one that is no baseline)"},
    )
    second_model: str | None = field(
        default=None,
        metadata={"help": "model or baseline of SECOND (default: the only one that is no baseline)"},
    )
    tasks: tuple[str, ...] = field(
        default=(), metadata={"help": "tasks to compare on (default: all that both have)"}
    )
    resamples: int = field(
        default=2000, metadata={"help": "bootstrap resamples and permutations, at least 100"}
    )
    seed: int = field(default=0, metadata={"help": "seed of both"})

    def __post_init__(self) -> None:
        Resampling(resamples=self.resamples)


def compare_folders(config: CompareConfig) -> dict[str, Any]:
    """Compares a model of one folder with a model of another on every task that both were scored on.

    Args:
        config: folders, models, tasks, resampling.

    Returns:
        `tasks[]` of `{task, delta, lo, hi, p_value, test, p_holm, p_bh, verdict, ...}`, where delta is first
        minus second in the metric's own sign; `first`, `second`, and the tasks that only one has.

    Raises:
        ConfigError: a model or task that is not there, or several to choose from.
        DataError: no results or predictions, or results on different items.
    """
    one, two = (_results(f) for f in (config.first, config.second))
    first = _model(config.first, one, config.first_model, option="--first-model")
    second = _model(config.second, two, config.second_model, option="--second-model")
    mine, theirs = _by_task(config.first, one, first), _by_task(config.second, two, second)
    shared = _shared(config, mine, theirs)
    how = Resampling(resamples=config.resamples, seed=config.seed)
    rows, found = [], []
    with progress("comparing", len(shared)) as advance:
        for task in shared:
            a, b = read_predictions(config.first, mine[task]), read_predictions(config.second, theirs[task])
            row, comparison = _task(task, (a, first), (b, second), how)
            rows.append(row)
            found.append(comparison)
            advance(1)
    _correct(rows, found, first, second)
    return {
        "first": {"folder": str(config.first), "model": first},
        "second": {"folder": str(config.second), "model": second}, "tasks": rows,
        "only_first": sorted(mine.keys() - theirs.keys()), "only_second": sorted(theirs.keys() - mine.keys()),
        "correction": f"p_holm and p_bh: over {sum(c.p_value is not None for c in found)} tests",
        "resamples": config.resamples, "seed": config.seed,
    }  # fmt: skip


def as_markdown(result: Mapping[str, Any]) -> str:
    """A comparison as a Markdown table, with what the table cannot hold below it.

    Args:
        result: of `compare_folders`.
    """
    names = [result[k]["model"] for k in ("first", "second")]
    lines = [
        f"Difference: `{names[0]}` minus `{names[1]}`", "",
        "| task | metric | n | first | second | difference | 95 % interval | p | p (Holm) | verdict |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for row in result["tasks"]:
        bounds = "–" if row["lo"] is None else f"{row['lo']:+.3f} to {row['hi']:+.3f}"
        scores = " | ".join(_shown(row[k], ".3f") for k in ("first", "second"))
        tests = " | ".join(_shown(row[k], ".2g") for k in ("p_value", "p_holm"))
        lines.append(
            f"| {row['task']} | {row['metric']} | {row['n']} | {scores} | {_shown(row['delta'], '+.3f')} | "
            f"{bounds} | {tests} | {row['verdict']} |"
        )
    lines.append("")
    lines += [f"{row['task']}: {row['power']}." for row in result["tasks"] if row["power"]]
    for key, name in zip(("only_first", "only_second"), names):
        if result[key]:
            lines.append(f"Only `{name}` was scored on: {', '.join(result[key])}.")
    return "\n".join(lines).rstrip()


def _results(folder: Path) -> list[dict[str, Any]]:
    return read_results(Path(folder))


def _names(results: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(row["model"]) for row in results))


def _model(folder: Path, results: Sequence[Mapping[str, Any]], asked: str | None, *, option: str) -> str:
    names = _names(results)
    known = list(dict.fromkeys([*names, *(b for row in results for b in row.get("baselines", {}))]))
    if asked is not None:
        if asked not in known:
            raise ConfigError(f"{folder} has no model {asked!r} (it has: {', '.join(known)})")
        return asked
    own = [n for n in names if n not in BASELINES and not n.startswith("random-init:")]
    candidates = names if len(names) == 1 else own
    if len(candidates) != 1:
        raise ConfigError(f"{folder} has {len(names)} models, choose one by {option}: {', '.join(names)}")
    return candidates[0]


def _by_task(folder: Path, results: Sequence[dict[str, Any]], model: str) -> dict[str, dict[str, Any]]:
    """The result that holds a model's predictions on each task; a baseline stands in those of others too."""
    found = {str(row["task"]): row for row in results if row["model"] == model}
    for row in results:
        if model in row.get("baselines", {}):
            found.setdefault(str(row["task"]), row)
    return found


def _shared(config: CompareConfig, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    for task in config.tasks:
        for folder, found in ((config.first, mine), (config.second, theirs)):
            if task not in found:
                raise ConfigError(f"{folder} has no results on task {task!r} (it has: {', '.join(found)})")
    shared = list(dict.fromkeys(config.tasks)) or [task for task in mine if task in theirs]
    if not shared:
        raise DataError(
            f"no task in common: {', '.join(mine)} in {config.first}, {', '.join(theirs)} in {config.second}"
        )
    return shared


def _task(
    task: str, first: tuple[Stored, str], second: tuple[Stored, str], how: Resampling
) -> tuple[dict[str, Any], Comparison]:
    (a, one), (b, two) = first, second
    metrics = [s.result["metric"] for s in (a, b)]
    if metrics[0] != metrics[1]:
        raise DataError(f"task {task}: scored by {metrics[0]} and by {metrics[1]}, cannot be compared")
    other = difference_between(a, b)
    if other:
        raise DataError(f"task {task}: not scored on the same items: {other}")
    b = b.reordered(a.ids)
    values = a.predictions[one], b.predictions[two]
    found = compare(metrics[0], a.y, *values, groups=a.groups, how=how)
    leaking = a.result.get("leakage", {}).get("train_test_rows")
    return {
        "task": task, "metric": metrics[0], "n": len(a.ids), **found.as_dict(),
        "first": _value(a, one), "second": _value(b, two), "power": found.power_sentence,
        "leaking_test_rows": leaking,
    }, found  # fmt: skip


def _correct(rows: list[dict[str, Any]], found: Sequence[Comparison], first: str, second: str) -> None:
    p_values = [c.p_value for c in found]
    for row, one, two in zip(rows, holm(p_values), benjamini_hochberg(p_values)):
        row["p_holm"], row["p_bh"] = one, two
        row["verdict"] = _verdict(row, first, second)


def _verdict(row: Mapping[str, Any], first: str, second: str) -> str:
    """Better needs the interval and the p-value corrected for all tasks to agree."""
    if row["delta"] is None or row["lo"] is None or row["p_holm"] is None:
        return f"cannot be compared: {row['reason']}"
    clear = row["p_holm"] <= SIGNIFICANT and not row["lo"] <= 0 <= row["hi"]
    if not clear:
        return "cannot be told apart"
    ahead = (row["delta"] > 0) != (row["metric"] in LOWER_IS_BETTER)
    names = (first, second) if first != second else ("first", "second")
    return f"{names[0] if ahead else names[1]} is better"


def _value(stored: Stored, model: str) -> float | None:
    result = stored.result
    return result["value"] if result["model"] == model else result["baselines"][model]["value"]


def _shown(value: float | None, how: str) -> str:
    return "–" if value is None else f"{value:{how}}"
