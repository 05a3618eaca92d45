"""The plot of `length_scaling.py`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any


def draw(
    panels: Sequence[Sequence[Any]], known: Mapping[Any, dict[str, Any]], options: argparse.Namespace
) -> None:
    """Two panels, logarithmic; a cross at the foot where no measurement was made."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    labels = (f"tokens of a sequence ({options.size}M parameters)",
              f"million parameters ({options.length} tokens)")  # fmt: skip
    for axis, cases, key, label in zip(axes, panels, ("length", "size"), labels):
        for number, kind in enumerate(options.kinds):
            rows = [known[case] for case in cases if case.kind == kind and case in known]
            made = [row for row in rows if row["seconds"] is not None]
            places = [row[key] if key == "length" else row["parameters"] / 1e6 for row in made]
            color = f"C{number}"
            axis.plot(places, [r["tokens_per_s"] for r in made], marker="o", label=kind, color=color)
            for row in rows:
                if row["seconds"] is None:
                    foot = (row[key], 0.02 + 0.03 * number)
                    axis.plot(*foot, marker="x", color=color, transform=axis.get_xaxis_transform())
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_xticks(options.lengths, [str(n) for n in options.lengths])
    axes[0].minorticks_off()
    axes[0].set_ylabel("tokens / s, training")
    axes[1].legend()
    figure.suptitle(
        f"{options.device}, {options.threads} threads, {options.clock} clock, x: not measured (time, memory)"
    )
    figure.savefig(options.plot, dpi=110)
