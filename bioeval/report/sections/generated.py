"""Pictures of generated beside natural sequences: composition, codons, chaos game, persistence, copying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bioeval.report.charts import GENERATED, INK, LINE, MUTED, NATURAL, canvas, light_grid, pixels
from bioeval.report.inputs import Facts, Json
from bioeval.report.markup import Html, figure, missing, paragraph, percent, row_of, section
from bioeval.report.sections.sequence_drawings import draw_order, draw_squares, histogram, screening_line

SMOOTHING = 0.125
"""Of the mean share of a k-mer, added to both sides of a ratio so that rare k-mers do not shout."""

KEY, TITLE = "generated", "Generated sequences beside natural ones"
LEGEND = Html(
    '<span class="legend"><span class="key" style="background:var(--natural)"></span>natural</span> '
    '<span class="legend"><span class="key" style="background:var(--generated)"></span>generated</span>'
)


def render(facts: Facts) -> str:
    """The pictures for which there is data."""
    if not facts.pictures:
        return section(
            KEY, TITLE, missing("Generated sequences were not compared (eval sequences was not run).")
        )
    pictures, made = facts.pictures, facts.sequences
    intro = (
        f"{made.get('n_generated', 0):,} generated sequences against {made.get('n_reference', 0):,} natural "
        "ones. "
    )
    parts = [
        paragraph(intro, LEGEND),
        screening_line(made),
        _distributions(pictures),
        _codon_usage(pictures.get("codon_usage")),
        _fcgr(pictures.get("fcgr")),
        draw_squares(pictures.get("color_square")),
        draw_order(pictures, made),
        _persistence(pictures.get("persistence")),
    ]
    return section(KEY, TITLE, "".join(parts))


def _distributions(pictures: Json) -> str:
    drawn = []
    if "gc" in pictures:
        drawn.append(figure(histogram(pictures["gc"], "GC content (%)"), "GC content of each sequence."))
    if "length" in pictures:
        drawn.append(figure(histogram(pictures["length"], "length (letters)"), "Length of each sequence."))
    if "nearest" in pictures:
        drawn.append(_nearest(pictures["nearest"]))
    return "<h3>Composition, length, copying</h3>" + row_of(*drawn) if drawn else ""


def _nearest(nearest: Json) -> str:
    shares = {name: [100 * v for v in values] for name, values in nearest.items()}
    caption = (
        f"Identity of each sequence to its nearest training sequence. Median: generated "
        f"{percent(_median(nearest['generated']))}, held-out natural {percent(_median(nearest['natural']))}, "
        f"shuffled {percent(_median(nearest['shuffled']))} (grey: what chance gives)."
    )
    return figure(histogram(shares, "identity to nearest (%)"), caption)


def _codon_usage(usage: Json | None) -> str:
    if not usage:
        return ""
    groups = _by_residue(usage)
    with canvas(10.2, 2.7, name="Relative synonymous codon usage by amino acid") as (axes, result):
        places, labels = [], []
        position = 0.0
        for residue, members in groups:
            begin = position
            for index in members:
                _codon_bars(axes, usage, index, position)
                places.append(position)
                labels.append(usage["codons"][index])
                position += 1
            _group_label(axes, residue, (begin + position - 1) / 2)
            position += 0.7
        axes.set_xticks(places, labels, rotation=90, family="monospace", fontsize=7)
        axes.set_xlim(-0.9, position - 0.8)
        axes.axhline(1, color=MUTED, linewidth=0.7, linestyle=(0, (3, 3)))
        axes.set_ylabel("RSCU (1 = no preference)")
        light_grid(axes)
    caption = (
        "Relative synonymous codon usage, codons grouped by amino acid (* is stop): how often a codon is "
        "used compared with equal use of all codons of its amino acid."
    )
    return "<h3>Codon usage</h3>" + figure(result[0], caption, wide=True)


def _by_residue(usage: Json) -> list[tuple[str, list[int]]]:
    """Amino acids with more than one codon, the codons by natural use; then stops."""
    groups: dict[str, list[int]] = {}
    for index, residue in enumerate(usage["residues"]):
        groups.setdefault(residue, []).append(index)
    natural = usage["natural"]["counts"]
    order = sorted(groups, key=lambda residue: (residue == "*", residue))
    return [(r, sorted(groups[r], key=lambda i: -natural[i])) for r in order if len(groups[r]) > 1]


def _codon_bars(axes: Any, usage: Json, index: int, position: float) -> None:
    for offset, name, colour in ((-0.2, "natural", NATURAL), (0.2, "generated", GENERATED)):
        value = usage[name]["rscu"][index]
        axes.bar(position + offset, value or 0, width=0.4, color=colour)


def _group_label(axes: Any, residue: str, place: float) -> None:
    axes.text(place, 1.02, residue, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
              fontweight="bold", fontsize=9, color=INK)  # fmt: skip


def _fcgr(pictures: Json | None) -> str:
    if not pictures:
        return ""
    k = pictures["k"]
    natural, generated = (np.asarray(pictures[name], dtype=float) for name in ("natural", "generated"))
    shares = natural / max(natural.sum(), 1), generated / max(generated.sum(), 1)
    top = max(float(np.quantile(np.concatenate(shares), 0.995)), 1e-12)
    floor = SMOOTHING / 4**k
    change = np.log2((shares[1] + floor) / (shares[0] + floor))
    name = f"{k}-mer frequencies (FCGR)"
    drawn = [
        _square(_shade(shares[0] / top), f"{name}, natural", "Natural: yellow is frequent, blue rare."),
        _square(_shade(shares[1] / top), f"{name}, generated",
                "Generated, on the same scale."),
        _square(_diverging(change / 2), f"{name}, difference",
                "Generated over natural: orange more, blue less, white equal; full colour is 4-fold."),
    ]  # fmt: skip
    words = (
        f"Each of the 4^{k} = {4**k:,} pixels is one {k}-mer. Corners as in Jeffrey 1990 "
        f"({pictures['corners']}); the last letter picks the quarter, the one before it the quarter of that, "
        "and so on."
    )
    return f"<h3>Chaos game: {k}-mer frequencies as an image</h3>" + paragraph(words) + row_of(*drawn)


def _square(rgb: np.ndarray, name: str, caption: str) -> str:
    corners = "".join(
        f'<b class="{p}">{c}</b>' for p, c in (("tl", "C"), ("tr", "G"), ("bl", "A"), ("br", "T"))
    )
    return figure(Html(f'<div class="square">{corners}{pixels(rgb, name=name).text}</div>'), caption)


def _shade(values: np.ndarray) -> np.ndarray:
    """0 to 1 on the cividis scale, which colour-blind people read alike; square root, for the rare ones."""
    from matplotlib import colormaps

    return _bytes(colormaps["cividis"](np.sqrt(np.clip(values, 0, 1)))[..., :3])


def _diverging(values: np.ndarray) -> np.ndarray:
    """-1 to 1 from blue through white to orange."""
    ends = np.array([[0, 114, 178], [255, 255, 255], [213, 94, 0]]) / 255
    place = np.clip(values, -1, 1)[..., None]
    towards = np.where(place < 0, ends[0], ends[2])
    return _bytes(ends[1] + np.abs(place) * (towards - ends[1]))


def _bytes(rgb: np.ndarray) -> np.ndarray:
    return np.round(255 * rgb).astype(np.uint8)


def _persistence(diagrams: Json | None) -> str:
    if not diagrams:
        return ""
    loops = {name: _loops(diagrams[name]) for name in ("natural", "generated")}
    limit = 1.05 * max([float(pairs.max(initial=0)) for pairs in loops.values()]) or 1.0
    drawn = [
        figure(_diagram(loops["natural"], NATURAL, limit, "natural"), "Natural."),
        figure(_diagram(loops["generated"], GENERATED, limit, "generated"), "Generated."),
    ]
    words = (
        f"Loops (H1) of the alpha complex on {diagrams['points']:,} points of each chaos-game cloud: each "
        "dot is a loop, born at one radius and filled at a larger one; far above the diagonal means a large "
        "hole, that is, k-mers avoided. A second view: k-mer divergences tell sources apart better."
    )
    return "<h3>Persistent homology of the chaos game</h3>" + paragraph(words) + row_of(*drawn)


def _loops(pairs: Json) -> np.ndarray:
    return np.asarray(pairs.get("1", []), dtype=float).reshape(-1, 2)


def _diagram(loops: np.ndarray, colour: str, limit: float, name: str) -> Html:
    with canvas(3.6, 3.0, name=f"Persistence diagram, {name}") as (axes, result):
        axes.plot([0, limit], [0, limit], color=LINE, linewidth=1)
        # an image of many dots would be heavy as vectors: keep the most persistent ones
        kept = loops[np.argsort(loops[:, 0] - loops[:, 1], kind="stable")[:800]]
        axes.scatter(kept[:, 0], kept[:, 1], s=5, color=colour, alpha=0.55, linewidths=0)
        axes.set_xlim(0, limit)
        axes.set_ylim(0, limit)
        axes.set_aspect("equal")
        axes.set_xlabel("birth (radius, side of the square = 1)")
        axes.set_ylabel("death (radius)")
        light_grid(axes, "both")
    return result[0]


def _median(values: Sequence[float]) -> float:
    return float(np.median(np.asarray(values, dtype=float)))
