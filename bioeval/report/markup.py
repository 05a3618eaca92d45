"""Small pieces of HTML. Text is escaped here and nowhere else; functions that take `html` say so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is ready to stand in the page."""

    text: str


def text(value: object) -> str:
    """A value as escaped text; ready markup as it is.

    >>> text("a < b"), text(Html("<b>a</b>"))
    ('a &lt; b', '<b>a</b>')
    """
    return value.text if isinstance(value, Html) else escape(str(value), quote=True)


def figures(value: float | int | None) -> str:
    """A number with 3 significant digits or, if whole, in full; a dash for none.

    >>> figures(0.04781), figures(1234567), figures(1e-7), figures(None), figures(98.25)
    ('0.0478', '1,234,567', '1e-07', '–', '98.2')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.1g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0 to 1 in percent.

    >>> percent(0.4512)
    '45.1 %'
    """
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | int | None, *, shown: str = "") -> Html:
    """A number whose full value stays in the page as `data-value`."""
    return Html(f'<span class="n" data-value="{text(repr(value))}">{text(shown or figures(value))}</span>')


def interval(low: float | None, high: float | None) -> Html:
    """Low and high end, with the full values in the page."""
    return Html(f'<span class="range">{number(low).text} – {number(high).text}</span>')


def paragraph(*parts: object, kind: str = "") -> str:
    """A paragraph of texts and markup, one after the other."""
    attribute = f' class="{text(kind)}"' if kind else ""
    return f"<p{attribute}>{''.join(text(part) for part in parts)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, left: int = 1, caption: str = "") -> str:
    """A table that scrolls sideways on narrow screens.

    Args:
        head: column titles.
        rows: cells, texts or markup; a row may be shorter.
        left: so many first columns are text, the others numbers.
        caption: what it shows.
    """

    def cells(row: Sequence[Any], tag: str) -> str:
        return "".join(f"<{tag}{_align(i, left)}>{text(cell)}</{tag}>" for i, cell in enumerate(row))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{title}{top}<tbody>{body}</tbody></table></div>'


def facts_list(pairs: Iterable[tuple[str, Any]]) -> str:
    """Names and values, one below the other."""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{items}</dl>'


def tiles(pairs: Iterable[tuple[str, Any]]) -> str:
    """A few key figures in large type."""
    items = "".join(f"<div><dd>{text(value)}</dd><dt>{text(name)}</dt></div>" for name, value in pairs)
    return f'<dl class="tiles">{items}</dl>'


def figure(drawing: Html, caption: str, *, wide: bool = False) -> str:
    """A drawing with its caption.

    Args:
        drawing: an SVG.
        caption: plain text, escaped here.
        wide: over the whole width of the page.
    """
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}><div>{drawing.text}</div><figcaption>{text(caption)}</figcaption></figure>"


def row_of(*pieces: str) -> str:
    """Pieces side by side where there is room."""
    return f'<div class="row">{"".join(pieces)}</div>'


def details(summary: str, html: str) -> str:
    """A part that opens on a click, without any script."""
    return f"<details><summary>{text(summary)}</summary>{html}</details>"


def section(key: str, title: str, html: str) -> str:
    """A section of the page.

    Args:
        key: anchor of the section on the page.
        title: plain text, escaped here.
        html: its content, taken as it is.
    """
    return f'<section id="{text(key)}"><h2>{text(title)}</h2>{html}</section>'


def missing(what: str) -> str:
    """Says that a stage was not there."""
    return paragraph(what, kind="missing")


def code(value: object) -> Html:
    """Short text in the fixed-width face."""
    return Html(f"<code>{text(value)}</code>")


def _align(column: int, left: int) -> str:
    return "" if column < left else ' class="num"'
