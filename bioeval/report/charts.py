"""Drawings as inline SVG: matplotlib draws, then its colours and faces become those of the page.

matplotlib writes fixed colours; placeholders that stand for roles are replaced by the page's CSS variables,
so one drawing serves light and dark mode. Output is the same for the same data: fixed salt, no date.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from biodata.errors import require
from bioeval.report.markup import Html, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# placeholder colours; never seen, see `_paint`
INK, MUTED, LINE, NATURAL, GENERATED, BASE, PAPER = (f"#0{i}0{i}0{i}" for i in range(1, 8))
_ROLES = {INK: "ink", MUTED: "muted", LINE: "line", NATURAL: "natural", GENERATED: "generated", BASE: "base",
          PAPER: "paper"}  # fmt: skip

_PIXELS = 112
"""Pixels an inch at most, so that letters in a drawing are not larger than those beside it."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9.5,
    "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
    "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "text.color": INK, "grid.color": LINE,
    "grid.linewidth": 0.6, "legend.frameon": False, "legend.labelcolor": INK, "legend.fontsize": 8.5,
    "lines.linewidth": 1.8, "lines.solid_capstyle": "round",
}  # fmt: skip


@contextmanager
def canvas(
    width: float, height: float, *, name: str, rows: int = 1, columns: int = 1, **options: Any
) -> Iterator[tuple[Any, list[Html]]]:
    """Axes to draw on; when the block ends, the SVG is the one entry of the list.

    Args:
        width: inches; 4.4 fills half the page and a phone.
        height: inches.
        name: what the drawing shows, read out by screen readers; also makes its ids unique.
        rows: of axes.
        columns: of axes.
        options: further arguments of `matplotlib.figure.Figure.subplots`.

    Yields:
        `(axes, result)`.
    """
    matplotlib = require("matplotlib", extra="eval")
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        drawing = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(drawing)
        result: list[Html] = []
        yield drawing.subplots(rows, columns, **options), result
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawing.savefig(buffer, format="svg", metadata=nothing)
        result.append(Html(_paint(buffer.getvalue(), name, round(_PIXELS * width))))


def light_grid(axes: Axes, axis: Literal["both", "x", "y"] = "y") -> None:
    """Thin lines across, no tick marks."""
    axes.grid(True, axis=axis)
    axes.tick_params(length=0)


def pixels(rgb: np.ndarray, *, name: str) -> Html:
    """A picture of one pixel a cell, enlarged by the page without blurring.

    Args:
        rgb: uint8 [rows, columns, 3].
        name: what it shows.
    """
    require("matplotlib", extra="eval")
    from matplotlib.image import imsave

    nothing: Any = {"Software": None}
    buffer = io.BytesIO()
    imsave(buffer, rgb, format="png", metadata=nothing)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Html(f'<img class="pixels" alt="{text(name)}" src="data:image/png;base64,{data}">')


def _paint(svg: str, name: str, widest: int) -> str:
    """The drawing for use inside the page: variables for colours, the page's face, a name, unique ids."""
    svg = svg[svg.index("<svg") :]
    for colour, role in _ROLES.items():
        svg = svg.replace(colour, f"var(--{role})")
    svg = re.sub(r"(font:[^;\"]*?px) [^;\"]*", r"\1 var(--sans)", svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.]+)[\")]", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', rf'<svg \1style="max-width:{widest}px"', svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r"\n\s*", "\n", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{text(name)}" ', 1).strip()
