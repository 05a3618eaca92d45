"""Paired tests of a model with each of its baselines, and what the test set cannot tell."""

from __future__ import annotations

from bioeval.report.inputs import Json
from bioeval.report.markup import figures, interval, number, paragraph, table
from bioeval.report.verdicts import model_name
from bioeval.stats.multiple import holm

HEAD = ("{model} minus", "Difference", "95 % interval", "p", "p (Holm)", "Smallest visible")


def paired_tests(result: Json) -> str:
    """A table of differences and a line on power; empty where nothing was compared in pairs.

    Args:
        result: one entry of `results.json`.
    """
    compared = [
        (name, score["difference"])
        for name, score in result.get("baselines", {}).items()
        if (score.get("difference") or {}).get("p_value") is not None
    ]
    if not compared:
        return ""
    corrected = holm([difference["p_value"] for _, difference in compared])
    rows = [
        [model_name(name), number(d["delta"], shown=f"{d['delta']:+.3f}"), interval(d["lo"], d["hi"]),
         number(d["p_value"]), number(p), number(d.get("detectable"))]
        for (name, d), p in zip(compared, corrected)
    ]  # fmt: skip
    tests = sorted({str(difference.get("test", "paired test")) for _, difference in compared})
    caption = (
        f"{' or '.join(tests).capitalize()} on the same test items, corrected for {len(rows)} baselines."
    )
    head = (HEAD[0].format(model=model_name(str(result["model"]))), *HEAD[1:])
    return table(head, rows, caption=caption) + _power(result, dict(compared)) + repeated_splits(result)


def repeated_splits(result: Json) -> str:
    """A line for each model that was scored on repeated splits; empty where none was.

    Args:
        result: one entry of `results.json`.
    """
    lines = [
        f"{model_name(name)} {figures(found['mean'])} ({figures(found['lo'])} to {figures(found['hi'])})"
        for name, found in (result.get("repeated") or {}).items()
        if found.get("mean") is not None
    ]
    if not lines:
        return ""
    return paragraph(
        "Mean over repeated splits, interval corrected for their overlap: ", "; ".join(lines), "."
    )


def _power(result: Json, compared: Json) -> str:
    difference = compared.get(result.get("strongest_baseline") or "")
    if not difference or not difference.get("detectable"):
        return ""
    size = f"{difference['n_units']:,} {difference['units']}"
    words = (
        f"This test set ({size}) cannot tell apart differences under {difference['detectable']:.2g} from "
        f"{result['strongest_baseline']}, the strongest baseline (80 % power)."
    )
    needed = difference.get("items_needed")
    clear = (difference["p_value"] or 0) <= 0.05
    more = (
        ""
        if clear or not needed
        else f" The difference seen would need about {needed:,} {difference['units']}."
    )
    return paragraph(words, more)
