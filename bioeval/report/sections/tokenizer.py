"""What the tokenizer is."""

from __future__ import annotations

from bioeval.report.inputs import Facts
from bioeval.report.markup import facts_list, missing, number, paragraph, percent, section

KEY, TITLE = "tokenizer", "Tokenizer"
UNKNOWN_LIMIT = 0.01


def render(facts: Facts) -> str:
    """Kind, size, and how it meets the data."""
    if not facts.tokenizer:
        return section(KEY, TITLE, missing("No tokenizer was made in this run."))
    own = dict(facts.tokenizer.get("seqloom", {}))
    pairs: list[tuple[str, object]] = [("kind", own.pop("kind", "unknown"))]
    if facts.tokenizer_vocabulary:
        pairs.append(("vocabulary", number(facts.tokenizer_vocabulary)))
    unknown = facts.summary.get("data", {}).get("train", {}).get("unknown_rate")
    if unknown is not None:
        pairs.append(("unknown tokens", number(unknown, shown=percent(unknown, 2))))
    pairs += [
        (name.replace("_", " "), value) for name, value in own.items() if isinstance(value, (str, int, float))
    ]
    warning = ""
    if unknown is not None and unknown > UNKNOWN_LIMIT:
        warning = paragraph(
            f"{percent(unknown, 2)} of the training tokens are unknown: codons out of frame, or "
            "another alphabet?",
            kind="warning",
        )
    return section(KEY, TITLE, facts_list(pairs) + warning)
