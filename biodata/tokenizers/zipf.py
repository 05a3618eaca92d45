"""The Zipf plot: how often each token occurs, by rank, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from biodata.errors import ConfigError, require
from biodata.files import atomic_path

FORMATS = (".svg", ".png")


def check_plot(path: Path) -> None:
    """Refuses a name that says no known format, before anything is measured.

    Raises:
        ConfigError: quoting it.
        MissingExtraError: no matplotlib.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"plot = {str(path)!r}, allowed: a file that ends in .svg or .png")
    require("matplotlib", extra="eval")


def draw_zipf(counts: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the plot; equal counts give equal bytes.

    Args:
        counts: name of a tokenizer to the counts of its tokens, in any order.
        path: SVG or PNG file.

    Raises:
        ConfigError: another ending.
        MissingExtraError: no matplotlib.
    """
    check_plot(path)
    matplotlib = require("matplotlib", extra="eval")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "zipf"}):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for name, found in counts.items():
            ranked = np.sort(found[found > 0])[::-1]
            share = ranked / max(ranked.sum(), 1)
            marker = "." if len(ranked) < 100 else None
            axes.loglog(np.arange(1, len(ranked) + 1), share, marker=marker, label=name)
        axes.set(xlabel="rank of the token", ylabel="share of all tokens")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.3)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        with atomic_path(path) as part:
            figure.savefig(part, format=path.suffix[1:], metadata=metadata)
