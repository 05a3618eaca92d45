"""`report.html`: one file with everything in it, no scripts, no requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from biodata import __version__
from biodata.files import write_text
from bioeval.report.inputs import Facts, ReportInputs, read_facts
from bioeval.report.markup import text
from bioeval.report.sections import (
    data,
    generated,
    metrics,
    probes,
    provenance,
    summary,
    tokenizer,
    training,
    truth,
)
from bioeval.report.style import STYLE

SECTIONS = (data, tokenizer, training, probes, generated, metrics, provenance)
"""The order of the page, below the summary; `truth` follows the data where that was simulated."""

_FACTS: dict[ModuleType, Callable[[Facts], object]] = {
    data: lambda facts: facts.manifest,
    truth: lambda facts: facts.truth,
    tokenizer: lambda facts: facts.tokenizer,
    training: lambda facts: facts.log,
    probes: lambda facts: facts.results,
    generated: lambda facts: facts.pictures,
    metrics: lambda facts: facts.sequences,
    provenance: lambda facts: True,
}
"""What a section needs in order to say more than that its stage is missing."""

__all__ = ["SECTIONS", "ReportInputs", "render_page", "write_part", "write_report"]


def write_report(inputs: ReportInputs, out: Path) -> Path:
    """Writes the report of whatever stages are there, atomically.

    Equal inputs give equal bytes with one version of matplotlib.

    Args:
        inputs: the folders of finished stages.
        out: the HTML file.

    Returns:
        `out`.

    Raises:
        ConfigError: no stage is there.
        DataError: a file of a stage is not JSON.
        MissingExtraError: matplotlib is not installed.
    """
    write_text(out, render_page(read_facts(inputs)))
    return out


def write_part(inputs: ReportInputs, out: Path) -> Path:
    """The same for some stages alone: sections and questions of the others are left out.

    Raises:
        ConfigError, DataError, MissingExtraError: as `write_report`.
    """
    write_text(out, render_page(read_facts(inputs), whole=False))
    return out


def render_page(facts: Facts, *, whole: bool = True) -> str:
    """The page as text.

    Args:
        whole: whether a stage that is missing is said to be missing, or left out.
    """
    parts = [*SECTIONS[:1], *([truth] if facts.truth else []), *SECTIONS[1:]]
    if not whole:
        parts = [part for part in parts if _FACTS[part](facts)]
    body = "\n".join(part.render(facts) for part in parts)
    links = " ".join(f'<a href="#{part.KEY}">{text(part.TITLE)}</a>' for part in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(facts.title)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{text(facts.title)}</h1><p>Data, pretraining and honest evaluation, made by seqloom "
        f"{text(__version__)}</p></header>{summary.render(facts, whole=whole)}<nav>{links}</nav>\n{body}\n"
        "<footer>Every figure on this page stands in the JSON files beside it; hover-free, script-free, "
        "offline.</footer></main></body></html>\n"
    )
