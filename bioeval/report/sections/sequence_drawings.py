"""Drawings of generated sequences: histograms, colour squares, order along the sequence, and screening."""

from __future__ import annotations

from typing import Any

import numpy as np

from biodata.color_square import COLORS
from bioeval.report.charts import BASE, GENERATED, NATURAL, canvas, light_grid, pixels
from bioeval.report.inputs import Json
from bioeval.report.markup import Html, figure, figures, missing, paragraph, row_of

_SETS = (("shuffled", BASE), ("natural", NATURAL), ("generated", GENERATED))


def screening_line(made: Json) -> str:
    """Whether the sequences went through a biosecurity screener, and what it said."""
    found = made.get("screening") or {"status": "not screened"}
    if found["status"] == "not screened":
        words = "Biosecurity: not screened (eval sequences --screen COMMAND calls a screener)."
        return paragraph(words, kind="muted")
    total = sum(int(found[k]) for k in ("passed", "warned", "flagged", "unscreened"))
    words = (
        f"Biosecurity: screened by {found['program']} ({found['format']}): of {total:,} sequences "
        f"{found['passed']:,} passed, {found['warned']:,} warned, {found['flagged']:,} flagged, "
        f"{found['unscreened']:,} without verdict."
    )
    return paragraph(words, kind="" if found["status"] == "passed" else "warning")


def histogram(values: Json, label: str) -> Html:
    """Two (or three) outlines of the same bins, as shares of each set.

    Args:
        values: `natural`, `generated` and perhaps `shuffled` to numbers; without any there is no drawing.
        label: of the axis.
    """
    everything = np.concatenate([np.asarray(v, dtype=float) for v in values.values()])
    if not len(everything):
        return Html(missing(f"No sequence has a value: {label}."))
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, 26)
    with canvas(3.3, 2.1, name=f"Distribution of {label}") as (axes, result):
        for name, colour in _SETS:
            if name in values:
                _outline(axes, np.asarray(values[name], dtype=float), edges, colour)
        axes.set_xlabel(label)
        axes.set_ylabel("share of sequences (%)")
        axes.set_ylim(bottom=0)
        light_grid(axes)
    return result[0]


def _outline(axes: Any, values: np.ndarray, edges: np.ndarray, colour: str) -> None:
    if not len(values):
        return
    counts, _ = np.histogram(values, edges)
    axes.stairs(100 * counts / len(values), edges, fill=True, color=colour, alpha=0.16)
    axes.stairs(100 * counts / len(values), edges, color=colour, linewidth=1.5)


def draw_squares(squares: Json | None) -> str:
    """Some sequences of each set as colour squares."""
    if not squares:
        return ""
    colours = np.append(COLORS[:4], [[236, 238, 241]], axis=0).astype(np.uint8)
    parts = []
    for name in ("natural", "generated"):
        for number, cells in enumerate(squares[name], 1):
            picture = pixels(colours[np.asarray(cells)], name=f"Colour square of {name} sequence {number}")
            parts.append(figure(picture, f"{name.capitalize()} sequence {number}."))
    words = (
        f"The first {squares['side'] ** 2:,} letters of some sequences along a spiral from the top left "
        "corner inwards: A red, C yellow, G blue, T green, grey where a sequence has ended."
    )
    return "<h3>Sequences as colour squares</h3>" + paragraph(words) + row_of(*parts)


def draw_order(pictures: Json, made: Json) -> str:
    """Period three, skew, mutual information by distance, and the classifier by place."""
    drawn = []
    if "period3" in pictures:
        words = "Power at period 3 over the mean: the mark of a reading frame. Grey: shuffled."
        drawn.append(figure(histogram(pictures["period3"], "period-3 peak (1 = no frame)"), words))
    if "gc_skew" in pictures:
        drawn.append(figure(histogram(pictures["gc_skew"], "GC skew (%)"), "GC skew of each sequence."))
    if "mutual_information" in pictures:
        words = "What a letter tells of another so many letters on. Grey: shuffled, that is, nothing."
        drawn.append(figure(_profile(pictures["mutual_information"]), words))
    if "longest_match" in pictures:
        words = (
            "Longest exact match with the training set over what chance gives; beyond 2 is no accident, but "
            "genes have relatives: compare with natural ones."
        )
        drawn.append(figure(histogram(pictures["longest_match"], "longest match / chance"), words))
    if places := _places(made.get("metrics", {})):
        words = "A classifier on k-mers that tells generated from natural (0.5: it cannot), by place."
        drawn.append(figure(_by_place(places), words))
    return "<h3>Order along the sequence, memory</h3>" + row_of(*drawn) if drawn else ""


def _profile(profile: Json) -> Html:
    with canvas(3.3, 2.1, name="Mutual information by distance") as (axes, result):
        for name, colour in _SETS:
            values = [np.nan if v is None else v for v in profile[name]]
            axes.plot(profile["distances"], values, color=colour, linewidth=1.4)
        axes.set_xscale("log")
        axes.set_xlabel("letters apart")
        axes.set_ylabel("millibits")
        light_grid(axes)
    return result[0]


def _places(metrics: Json) -> list[tuple[str, Any]]:
    """The classifier's value of every stretch, in order."""
    prefix = "discriminator_auroc_"
    found = [(n.removeprefix(prefix).split("_"), m) for n, m in metrics.items() if n.startswith(prefix)]
    ordered = sorted(found, key=lambda item: int(item[0][0]))
    return [(f"{int(a) + 1:,}-{int(b):,}", m) for (a, b), m in ordered if m["value"] is not None]


def _by_place(places: list[tuple[str, Any]]) -> Html:
    described = ", ".join(f"{label} {figures(m['scale']['generated'])}" for label, m in places)
    with canvas(3.3, 2.1, name=f"Classifier by place: {described}") as (axes, result):
        at = np.arange(len(places))
        for name, colour in (("half_vs_half", NATURAL), ("generated", GENERATED)):
            bounds = ("null_lo", "null_hi") if name == "half_vs_half" else ("generated_lo", "generated_hi")
            low, high = (np.array([m[b] for _, m in places], dtype=float) for b in bounds)
            axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(at, [m["scale"][name] for _, m in places], color=colour, marker="o", markersize=3)
        axes.set_xticks(at, [label for label, _ in places], rotation=30, ha="right")
        axes.set_ylabel("AUROC")
        light_grid(axes)
    return result[0]
