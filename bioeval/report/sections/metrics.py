"""The table of sequence metrics: each value beside its null and beside what shuffling gives."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bioeval.report.inputs import Facts, Json
from bioeval.report.markup import (
    Html,
    details,
    interval,
    missing,
    number,
    paragraph,
    percent,
    section,
    table,
    text,
)

KEY, TITLE = "metrics", "Sequence metrics with their null"

SHOWN_K = ("_k3", "_k6")
_FOLDED = ("c4dr_", "color_square", "discriminator_auroc_", "entropy_k", "fcgr_correlation", "persistence_h0",
           "wen_", "at_skew", "gc_skew_w", "repeats_")  # fmt: skip
HEAD = ("Metric", "Unit", "Value", "Natural against natural, 95 %", "Generated", "Shuffled", "", "")
STRIP = 84
"""Width of the picture of a metric."""


def render(facts: Facts) -> str:
    """The table, what its columns are, and the nearest-training identity."""
    made = facts.sequences
    if not made:
        return section(KEY, TITLE, missing("No sequence metrics (eval sequences was not run)."))
    aside = _aside(made["metrics"])
    rows = [_row(m) for name, m in made["metrics"].items() if name not in aside]
    others = [_row(m) for name, m in made["metrics"].items() if name in aside]
    halves = {
        "families": "random halves of the held-out sequences, no family in both",
        "sequences": "random halves of the held-out sequences (their families are not known; relatives on "
        "both sides make this range narrower than it should be)",
    }[made.get("null", "sequences")]
    words = (
        "A distance between two finite sets is never 0, even between two halves of nature. “Natural against "
        "natural” is the middle 95 % of the metric over " + halves + "; “Generated” "
        "and “Shuffled” (natural sequences with their letters shuffled) are means at the same numbers of "
        "sequences, so these three columns compare; the drawing shows them on one scale, the natural range "
        "blue, generated orange (95 % of draws), shuffled grey. “Value” uses all sequences. Where shuffled "
        "sequences look natural too, the metric cannot tell with so few natural sequences or families."
    )
    warnings = "".join(paragraph(w, kind="warning") for w in made.get("warnings", ()))
    more = details("More metrics: other k, second views", table(HEAD, others, left=2)) if others else ""
    shown = table(HEAD, rows, left=2) + more
    parts = (paragraph(words), warnings, shown, _nearest(made), _canaries(made), _not_run(made))
    return section(KEY, TITLE, "".join(parts))


def _not_run(made: Json) -> str:
    """The families of metrics without a value, and why."""
    reasons = made.get("not_run") or {}
    if not reasons:
        return ""
    return details("Metrics that were not run", table(("Family", "Why"), reasons.items(), left=2))


def _canaries(made: Json) -> str:
    found = made.get("canaries")
    if not found:
        return ""
    words = (
        f"Of {found['n']:,} canaries planted in training {found['repeated']:,} come back in pieces at least "
        f"twice as long as by chance, {found['whole']:,} from end to end."
    )
    return paragraph(words, kind="warning" if found["repeated"] else "")


def _aside(names: Collection[str]) -> set[str]:
    """The metrics that are folded away: second views, what the pictures show, and k-mers of other lengths
    where there are some of 3 or 6."""
    words = [name for name in names if name.startswith("kmer_")]
    usual = {name for name in words if name.endswith(SHOWN_K)}
    return {name for name in names if name.startswith(_FOLDED)} | (set(words) - usual if usual else set())


def _row(found: Json) -> list[Any]:
    scale = found["scale"]
    return [
        found["title"], found["unit"], number(found["value"]), interval(found["null_lo"], found["null_hi"]),
        number(scale["generated"]), number(scale["shuffled"]), _strip(found), _verdict(found),
    ]  # fmt: skip


def _strip(found: Json) -> Html:
    """The metric as a picture: what nature shows against itself, draws of the generated set, shuffling."""
    if found["within_null"] is None:
        return Html("")
    scale = found["scale"]
    drawn = found["null_lo"], found["null_hi"], found["generated_lo"], found["generated_hi"]
    shown = [value for value in (*drawn, scale["generated"], scale["shuffled"]) if value is not None]
    low, width = min(shown), (max(shown) - min(shown)) or 1.0

    def place(value: float) -> float:
        return round(4 + (STRIP - 8) * (value - low) / width, 1)

    null, made = (place(drawn[0]), place(drawn[1])), (place(drawn[2]), place(drawn[3]))
    grey = ""
    if scale["shuffled"] is not None:
        at = place(scale["shuffled"])
        grey = f'<path d="M{at} 3V15" stroke="var(--base)" stroke-width="2"/>'
    name = f"{found['title']}: natural, generated and shuffled on one scale"
    return Html(
        f'<svg class="strip" role="img" aria-label="{text(name)}" width="{STRIP}" height="18">'
        f'<rect x="{null[0] - 1}" y="3" width="{null[1] - null[0] + 2:.1f}" height="12" rx="1.5" '
        f'fill="var(--natural)" opacity=".35"/>{grey}'
        f'<path d="M{made[0]} 9H{made[1]}" stroke="var(--generated)" stroke-width="2"/>'
        f'<circle cx="{place(scale["generated"])}" cy="9" r="3.2" fill="var(--generated)"/></svg>'
    )


def _verdict(found: Json) -> Html:
    if found["within_null"] is None:
        of = "value" if found["scale"]["generated"] is None else "null"
        return Html(f'<span class="muted">no {of}</span>')
    if found["within_null"] and not found["tells"]:
        return Html('<span class="muted">cannot tell</span>')
    if found["within_null"]:
        return Html('<span class="good">as natural</span>')
    if found["kind"] == "share":
        low = found["scale"]["generated"] < found["null_lo"]
        return Html(f'<span class="bad">{"lower" if low else "higher"}</span>')
    return Html('<span class="bad">farther</span>')


def _nearest(made: Json) -> str:
    near = made["nearest_training_identity"]
    if near.get("median") is None:
        return paragraph(f"Nearest-training identity: {near.get('method', 'not computed')}.", kind="muted")
    return paragraph(
        "Nearest-training identity of the generated sequences: median ",
        number(near["median"], shown=percent(near["median"])), ", highest ",
        number(near["max"], shown=percent(near["max"])), "; of held-out natural sequences: median ",
        number(near["reference_median"], shown=percent(near["reference_median"])), ", highest ",
        number(near["reference_max"], shown=percent(near["reference_max"])),
        f". {near['exact_copies']} generated sequences are exact copies of training sequences. "
        f"Identity is {near['definition']}; search: {near['method']}.",
    )  # fmt: skip
