"""Pages of `eval distances`: Markdown, and one HTML file with a heat map and a tree."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np

from biodata import __version__
from bioeval.distances.tree import Node
from bioeval.report.charts import BASE, INK, MUTED, NATURAL, canvas
from bioeval.report.inputs import Json
from bioeval.report.markup import Html, figure, figures, interval, number, paragraph, section, table, text
from bioeval.report.style import STYLE

_MOST_CELLS = 16
_LONGEST = 24  # letters of a name in a drawing


def markdown(result: Json) -> str:
    """The tables as Markdown."""
    lines = [f"# Distances of {len(result['groups'])} groups", "", f"{_what(result)}", ""]
    lines += [f"- {warning}" for warning in result["warnings"]]
    lines += ["", "| group | sequences | letters | within (95 %) |", "|---|---|---|---|"]
    for group in result["groups"]:
        lines.append(
            f"| {_cell(group['name'])} | {group['sequences']:,} | {group['letters']:,} "
            f"| {_range(group['within'])} |"
        )
    lines += ["", "| groups | distance (95 %) | net | p | p, Holm |", "|---|---|---|---|---|"]
    for pair in result["pairs"]:
        lines.append(
            f"| {_cell(pair['a'])} - {_cell(pair['b'])} | {_range(pair['distance'])} "
            f"| {figures(pair['net'])} | {figures(pair['p_value'])} | {figures(pair['p_adjusted'])} |"
        )
    if result["parents"]:
        lines += ["", _parents(result["parents"])]
    return "\n".join([*lines, "", f"Tree ({result['tree']['kind']}): `{result['tree']['newick']}`", ""])


def page(result: Json) -> str:
    """The page as text: no scripts, no requests."""
    title = f"Distances of {len(result['groups'])} groups"
    warnings = "".join(paragraph(w, kind="warning") for w in result["warnings"])
    parents = paragraph(_parents(result["parents"])) if result["parents"] else ""
    body = "\n".join((
        section("map", "Heat map", figure(_heat_map(result), _map_words(result))),
        section("tree", "Tree", figure(_tree(result), _tree_words(result))),
        section("pairs", "Between groups", parents + _pairs(result)),
        section("groups", "Within groups", _groups(result)),
    ))  # fmt: skip
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body><main><header><h1>{text(title)}</h1>"
        f"<p>{text(result['title'])}, made by seqloom {text(__version__)}</p></header>"
        f"{paragraph(_what(result))}{warnings}{body}\n"
        "<footer>Every figure on this page stands in results.json beside it.</footer></main></body></html>\n"
    )


def _what(result: Json) -> str:
    return (
        f"{result['title']} ({result['unit']}) of windows of {result['window']:,} letters, "
        f"{result['windows']:,} of every group: neither genome length nor number of sequences counts. "
        f"Each distance is the mean of {result['resamples']} draws of {result['windows'] // 2:,} windows "
        "against as many; within a group, one half against the other."
    )


def _map_words(result: Json) -> str:
    return (
        f"Mean distance ({result['unit']}); on the diagonal half of a group against its other half: what no "
        "difference looks like. Groups in the order of the tree; darker is farther."
    )


def _tree_words(result: Json) -> str:
    how = {"average": "Average linkage", "nj": "Neighbour joining (the root means nothing)"}
    return (
        f"{how[result['tree']['kind']]} of net distances (the groups' inner distances taken off); numbers "
        f"are the percent of {result['resamples']} draws of windows whose tree has the branch."
    )


def _parents(found: Json) -> str:
    return (
        f"Mean net distance between groups of one parent {figures(found['within'])}, of different parents "
        f"{figures(found['between'])} (permutation of {found['groups']} groups' parents: "
        f"p = {figures(found['p_value'])})."
    )


def _pairs(result: Json) -> str:
    head = ("Groups", "Distance", "95 % of draws", "Net", "p", "p, Holm", "")
    rows = [
        (f"{p['a']} - {p['b']}", number(p["distance"]["mean"]), interval(p["distance"]["lo"],
        p["distance"]["hi"]),
         number(p["net"]), number(p["p_value"]), number(p["p_adjusted"]), _verdict(p))
        for p in sorted(result["pairs"], key=lambda pair: pair["net"])
    ]  # fmt: skip
    return table(head, rows)


def _verdict(pair: Json) -> Html:
    if pair["different"] is None:
        return Html("")
    words = ("bad", "different") if pair["different"] else ("muted", "cannot tell")
    return Html(f'<span class="{words[0]}">{words[1]}</span>')


def _groups(result: Json) -> str:
    head = ("Group", "Sequences", "Letters", "Windows there", "Within", "95 % of draws")
    rows = [
        (g["name"], number(g["sequences"]), number(g["letters"]), number(g["windows_available"]),
         number(g["within"]["mean"]), interval(g["within"]["lo"], g["within"]["hi"]))
        for g in result["groups"]
    ]  # fmt: skip
    return table(head, rows)


def _heat_map(result: Json) -> Html:
    names, order = [g["name"] for g in result["groups"]], _order(result)
    matrix = np.array(result["matrix"])[np.ix_(order, order)]
    size = len(names)
    side = min(max(0.62 * size, 2.2), 6.5)
    with canvas(side + 2.0, side + 1.0, name=f"Heat map of {result['measure']}") as (axes, drawn):
        top = float(matrix.max()) or 1.0
        for i in range(size):
            for j in range(size):
                share = float(matrix[i, j]) / top
                axes.add_patch(_square(j, i, 0.08 + 0.84 * share))
                if size <= _MOST_CELLS:
                    axes.text(
                        j, i, _in_cell(float(matrix[i, j])), ha="center", va="center", fontsize=7, color=INK
                    )
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_aspect("equal")
        labels = [_label(names[i]) for i in order]
        axes.set_xticks(range(size), labels, rotation=40, ha="right")
        axes.set_yticks(range(size), labels)
        axes.tick_params(length=0)
        for side_name in ("left", "bottom"):
            axes.spines[side_name].set_visible(False)
    return drawn[0]


def _in_cell(value: float) -> str:
    """Two digits, which fit into a cell.

    >>> _in_cell(0.004213), _in_cell(0.187), _in_cell(1234.5)
    ('0.0042', '0.19', '1,234')
    """
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def _label(name: str) -> str:
    """A name, of which a long one keeps beginning and end.

    >>> _label("plants/arabidopsis_thaliana_columbia"), _label("fungi/yeast")
    ('plants/ara…iana_columbia', 'fungi/yeast')
    """
    return name if len(name) <= _LONGEST else f"{name[:10]}…{name[-13:]}"


def _square(x: int, y: int, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=NATURAL, alpha=alpha * 0.75, linewidth=0)


def _order(result: Json) -> list[int]:
    """Groups as they stand at the tips of the tree, top to bottom."""
    return [node[0] for node in _tips(_read_tree(result))]


def _tips(tree: Node) -> list[tuple[int, ...]]:
    if not tree.children:
        return [tree.leaves]
    return [tip for child in tree.children for tip in _tips(child)]


def _read_tree(result: Json) -> Node:
    """The tree from its Newick text, which is all that the results keep."""
    from Bio.Phylo.NewickIO import parse

    names = {g["name"]: i for i, g in enumerate(result["groups"])}
    clade = next(parse(StringIO(result["tree"]["newick"]))).root

    def build(at: Any) -> Node:
        length = float(at.branch_length or 0.0)
        if not at.clades:
            return Node((names[at.name],), length)
        children = tuple(build(child) for child in at.clades)
        return Node(tuple(sorted(sum((c.leaves for c in children), ()))), length, children)

    return build(clade)


def _tree(result: Json) -> Html:
    tree, names = _read_tree(result), [g["name"] for g in result["groups"]]
    support = _support(result)
    places = {leaves[0]: float(row) for row, leaves in enumerate(_tips(tree))}
    with canvas(6.4, min(max(0.34 * len(names) + 0.7, 1.6), 9), name=f"Tree of {len(names)} groups") as (
        axes,
        drawn,
    ):
        reach = _branch(axes, tree, 0.0, places, support)
        for group, row in places.items():
            axes.text(
                _depth(tree, group) + 0.015 * reach,
                row,
                _label(names[group]),
                va="center",
                fontsize=8.5,
                color=INK,
            )
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-0.01 * reach, 1.35 * reach)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"net distance to the branching ({result['unit']})")
    return drawn[0]


def _branch(
    axes: Any, node: Node, x: float, places: dict[int, float], support: dict[tuple[int, ...], str]
) -> float:
    """Draws a branch and those below it; returns how far to the right they reach."""
    height = float(np.mean([places[leaf] for leaf in node.leaves]))
    end = x + node.length
    axes.plot([x, end], [height, height], color=MUTED, linewidth=1.3)
    if not node.children:
        return max(end, 1e-12)
    inner = [float(np.mean([places[leaf] for leaf in child.leaves])) for child in node.children]
    axes.plot([end, end], [min(inner), max(inner)], color=MUTED, linewidth=1.3)
    if label := support.get(node.leaves):
        axes.text(end, height - 0.12, f"{label} ", ha="right", va="bottom", fontsize=7.5, color=BASE)
    return max(_branch(axes, child, end, places, support) for child in node.children)


def _depth(node: Node, leaf: int, x: float = 0.0) -> float:
    for child in node.children:
        if leaf in child.leaves:
            return _depth(child, leaf, x + node.length)
    return x + node.length


def _support(result: Json) -> dict[tuple[int, ...], str]:
    """Leaves of an inner branch to its support, as Biopython reads it from the text."""
    from Bio.Phylo.NewickIO import parse

    names = {g["name"]: i for i, g in enumerate(result["groups"])}
    found = {}
    for clade in next(parse(StringIO(result["tree"]["newick"]))).get_nonterminals():
        label = clade.confidence if clade.confidence is not None else clade.name
        if label is not None:
            found[tuple(sorted(names[tip.name] for tip in clade.get_terminals()))] = f"{float(label):.0f}"
    return found


def _range(spread: Json) -> str:
    return f"{figures(spread['mean'])} ({figures(spread['lo'])} to {figures(spread['hi'])})"


def _cell(name: str) -> str:
    return name.replace("|", "\\|")
