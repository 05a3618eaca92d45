"""Probes on frozen embeddings: scores with intervals, baselines, leakage, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bioeval.leakage import NO_TRAIN_ROWS
from bioeval.report.charts import BASE, NATURAL, canvas, light_grid
from bioeval.report.inputs import Facts, Json
from bioeval.report.markup import (
    Html,
    details,
    facts_list,
    figure,
    interval,
    missing,
    number,
    paragraph,
    section,
    table,
    text,
)
from bioeval.report.pairs import paired_tests
from bioeval.report.verdicts import model_name, ranked, task_names
from bioeval.running.beside import pretraining_sentence

KEY, TITLE = "probes", "Does the model know something?"
HEAD = ("What is embedded", "Score", "95 % interval")


def render(facts: Facts) -> str:
    """One part a task: forest plot, table, leakage, verdict."""
    if not facts.results:
        return section(KEY, TITLE, missing("No task was evaluated (eval run was not run)."))
    words = (
        "A probe (a ridge for numbers, unless another is named) is fitted on frozen embeddings of the "
        "training rows, its settings chosen on the validation rows, its score taken once on the test rows; "
        "zero-shot scores need none. A score means something only above the baselines, which go through the "
        "same probe."
    )
    parts = [_task(facts, task) for task in task_names(facts.results)]
    return section(KEY, TITLE, paragraph(words) + "".join(parts))


def _task(facts: Facts, task: str) -> str:
    results = [r for r in facts.results if r["task"] == task]
    first = results[0]
    rows = ranked(results)
    caption = f"{first['metric']} on {_items(first)}; bars are 95 % intervals."
    if caution := first.get("interval", {}).get("caution"):
        caption += f" {caution[0].upper()}{caution[1:]}."
    listed = [_row(row) for row in rows]
    return "".join(
        [
            f"<h3>{text(task)}</h3>", figure(_forest(rows, first["metric"]), caption),
            table(HEAD, listed), *(_verdict(r) + paired_tests(r) for r in results), _leakage(results),
        ]
    )  # fmt: skip


def _items(result: Json) -> str:
    """How many of what the score is of."""
    what = {"token": "labelled positions of the", "contacts": "sequences of the", "pairs": "pairs of the"}
    kind = what.get(result.get("kind", ""), "rows of the")
    return f"{result['n']:,} {kind} {result['split']} set"


def _row(row: Json) -> list[Any]:
    name = Html(f"<strong>{text(row['name'])}</strong>") if row["is_model"] else row["name"]
    return [name, number(row["value"]), interval(row["lo"], row["hi"])]


def _forest(rows: Sequence[Json], metric: str) -> Html:
    """Points with intervals, models in blue, baselines in grey, best on top."""
    height = 0.62 + 0.27 * len(rows)
    with canvas(5.8, height, name=f"{metric} of models and baselines") as (axes, result):
        for place, row in enumerate(rows[::-1]):
            colour = NATURAL if row["is_model"] else BASE
            if row["lo"] is not None and row["hi"] is not None:
                axes.plot([row["lo"], row["hi"]], [place, place], color=colour, linewidth=2.2)
            if row["value"] is not None:
                axes.plot(
                    [row["value"]], [place], "o" if row["is_model"] else "s", color=colour, markersize=6
                )
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows[::-1]])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel(metric)
        axes.spines["left"].set_visible(False)
        light_grid(axes, "x")
    return result[0]


def _verdict(result: Json) -> str:
    verdict = result.get("verdict")
    if isinstance(verdict, dict):
        verdict = verdict.get("sentence") or verdict.get("text")
    return paragraph("Verdict: ", verdict) if verdict else ""


def _leakage(results: Sequence[Json]) -> str:
    """The same for all models of a task, but for their scores of the rows that do not leak."""
    result = results[0]
    leakage = result.get("leakage") or {}
    if not leakage:
        return paragraph("Leakage was not checked.", kind="warning")
    rows, of = leakage.get("train_test_rows"), leakage.get("test_rows", result.get("n"))
    if rows is None:
        return paragraph("Leakage was not checked", f": {why}" if (why := leakage.get("reason")) else ".")
    if leakage.get("method") == NO_TRAIN_ROWS:
        line = paragraph("Leakage: there are no training rows to leak from.")
        return line + _pretraining(results) + _others(results) + _measured(result)
    clean = [part for r in results for part in _without(r)] if rows else []
    line = paragraph(
        "Leakage: ", number(rows), f" of {of:,} test rows have a near copy among the training rows (identity "
        f"≥ {leakage.get('identity')}).", *clean, kind="warning" if rows else "",
    )  # fmt: skip
    return line + _pretraining(results) + _others(results) + _measured(result)


def _pretraining(results: Sequence[Json]) -> str:
    """A line for each model that was pretrained."""
    lines = []
    for result in results:
        if found := (result.get("leakage") or {}).get("pretraining"):
            line = f"{model_name(result['model'])}: {pretraining_sentence(found)}."
            lines.append(paragraph(line, kind="warning" if found["rows"] else ""))
    return "".join(lines)


def _others(results: Sequence[Json]) -> str:
    """Every other metric of the kind beside the strongest baseline's."""
    rows: list[list[Any]] = []
    for result in results:
        for metric, found in (result.get("other_metrics") or {}).items():
            if isinstance(found, dict):  # results of rules before 7 have the number alone
                beside = _bounds(found.get("baseline"))
                rows.append([model_name(result["model"]), metric, *_bounds(found), *beside])
    head = ("What is embedded", "Metric", "Score", "95 % interval", "Strongest baseline", "95 % interval")
    return details("Other metrics", table(head, rows)) if rows else ""


def _bounds(found: Json | None) -> list[Any]:
    return ["", ""] if found is None else [number(found["value"]), interval(found["lo"], found["hi"])]


def _measured(result: Json) -> str:
    small = [
        (k.replace("_", " "), number(v) if isinstance(v, float) else v) for k, v in _plain(result).items()
    ]
    return details("How it was measured", facts_list(small)) if small else ""


def _without(result: Json) -> tuple[object, ...]:
    """The score of the others beside it."""
    clean = result["leakage"].get("score_without_leaking_rows")
    if not clean:
        return ()
    head = f" {model_name(result['model'])} without them: "
    if clean["value"] is None:
        return (f"{head}undefined, n = {clean['n']:,}.",)
    return (head, number(clean["value"]), " (", interval(clean["lo"], clean["hi"]), f"), n = {clean['n']:,}.")


def _plain(result: Json) -> dict[str, Any]:
    """The plain values of a result that are not shown above."""
    shown = {"model", "task", "metric", "value", "lo", "hi", "n", "split", "verdict", "sentence", "key",
             "items"}  # fmt: skip
    return {k: v for k, v in result.items() if k not in shown and isinstance(v, (str, int, float))}
