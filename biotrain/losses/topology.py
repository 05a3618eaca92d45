"""Persistence diagrams with a gradient: the alpha complex of a planar cloud, and the distance of diagrams.

gudhi finds which simplices of the alpha complex make and fill a component or a loop; their radii are
computed again in torch. For every pair of positive persistence the edge is Gabriel and the triangle acute, so
that the value is a function of its own corners alone:

    an edge joins or closes at |e| / 2,     a triangle fills at the radius of its circumcircle

and the gradient with the pairing held fast is that of the diagram wherever the pairing does not change
(Carriere et al., ICML 2021, arXiv:2010.08356).

Shapes: n points, P pairs of a diagram.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from biodata.chaos_game import JEFFREY, corner_table
from biodata.errors import require

JITTER = 1e-6
"""Half-width of the displacement of repeated points, which have no Delaunay triangulation."""

NEGLIGIBLE = 1e-10
"""Difference of the squared radii below which a feature is left out: it is the jitter's, or its triangle is
so flat that rounding decides it."""

_REACH = 53
"""Letters back that still move a point: the half-life is one letter and float64 has 53 bits."""


class Diagrams(NamedTuple):
    """Finite pairs (birth, death) in lengths of the unit square.

    Attributes:
        components: [P, 2], births 0.
        loops: [P, 2].
    """

    components: Tensor
    loops: Tensor


def soft_chaos_game(letters: Tensor) -> Tensor:
    """The chaos game on distributions of letters, which for certain letters is the chaos game itself.

    P_0 is the centre and P_i = (P_{i-1} + sum over letters of p_i(letter) corner(letter)) / 2: linear in the
    probabilities, so the expected point.

    Args:
        letters: [n, 4] probabilities of A, C, G, T, rows summing to 1.

    Returns:
        [n, 2] float64.

    >>> soft_chaos_game(torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]])).tolist()
    [[0.25, 0.25], [0.625, 0.625]]
    """
    corners = torch.from_numpy(corner_table(JEFFREY)).to(letters.device)
    start = torch.full((1, 2), 0.5, dtype=torch.float64, device=letters.device)
    steps = torch.cat((start, letters.double() @ corners))
    reach = min(_REACH, len(steps))
    halves = 0.5 ** torch.arange(1, reach + 1, dtype=torch.float64, device=letters.device)
    padded = torch.cat((steps.new_zeros(reach - 1, 2), steps))
    walked = padded.t().unfold(1, reach, 1) @ halves.flip(0)  # [2, n + 1]: sum of steps over 2, 4, 8, ...
    back = torch.arange(len(steps), dtype=torch.float64, device=letters.device)
    return (walked.t() + 0.5 * 0.5 ** (back + 1)[:, None])[1:]


def alpha_diagrams(points: Tensor) -> Diagrams:
    """Persistence diagrams of the alpha complex, with the gradient to the points.

    Args:
        points: [n, 2] float64, 3 or more. Points that repeat another are displaced by up to `JITTER`, the
            same way at every call.

    Raises:
        MissingExtraError: gudhi is not installed.

    >>> square = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0.0]], dtype=torch.float64)
    >>> [[round(x, 3) for x in pair] for pair in alpha_diagrams(square).loops.tolist()]
    [[0.5, 0.707]]
    """
    gudhi = require("gudhi", extra="eval")
    moved = points + _displacement(points)
    # gudhi's precision "fast" would be a quarter faster, and pairs flat triangles that are none
    tree = gudhi.AlphaComplex(points=moved.detach().cpu().numpy()).create_simplex_tree()
    tree.compute_persistence(min_persistence=NEGLIGIBLE)
    pairs = [pair for pair in tree.persistence_pairs() if pair[1]]
    joined = [death for birth, death in pairs if len(birth) == 1]
    edges = [birth for birth, _ in pairs if len(birth) == 2]
    filled = [death for birth, death in pairs if len(birth) == 2]
    death = _half_lengths(moved, joined)
    return Diagrams(
        torch.stack((torch.zeros_like(death), death), 1),
        torch.stack((_half_lengths(moved, edges), _circumradii(moved, filled)), 1),
    )


def sliced_wasserstein(first: Tensor, second: Tensor, *, directions: int = 50) -> Tensor:
    """Sliced Wasserstein distance of two diagrams [P, 2], 0 or more, in lengths of the unit square.

    Each diagram is joined by the other's projection onto the diagonal; along each direction both are sorted
    and the absolute differences summed; the mean over directions of the half circle is the distance
    (Carriere, Cuturi and Oudot 2017, arXiv:1706.03358, definition 3.1).

    Args:
        first: [P, 2].
        second: [Q, 2].
        directions: how many, evenly spaced.

    >>> one = torch.tensor([[0.0, 1.0]])
    >>> sliced_wasserstein(one, one).item(), round(sliced_wasserstein(one, torch.zeros(0, 2)).item(), 4)
    (0.0, 0.4502)
    """
    turns = torch.arange(directions, dtype=first.dtype, device=first.device) / directions
    angles = math.pi * (turns - 0.5)
    lines = torch.stack((angles.cos(), angles.sin()), 1)
    left = lines @ torch.cat((first, _on_diagonal(second))).t()
    right = lines @ torch.cat((second, _on_diagonal(first))).t()
    return (_sorted(left) - _sorted(right)).abs().sum(1).mean()


def _sorted(rows: Tensor) -> Tensor:
    """Each row in order; on the CPU by numpy, which is 2.5 times as fast as torch 2.13."""
    if rows.device.type != "cpu":
        return rows.sort(1).values
    return rows.gather(1, torch.from_numpy(rows.detach().numpy().argsort(1)))


def _displacement(points: Tensor) -> Tensor:
    """[n, 2]: 0, and for points that repeat another a small move."""
    values = points.detach().cpu().numpy()
    _, first = np.unique(values, axis=0, return_index=True)
    moves = np.random.default_rng(0).uniform(-JITTER, JITTER, values.shape)
    moves[first] = 0.0
    return torch.from_numpy(moves).to(points)


def _indices(simplices: list[list[int]], corners: int) -> Tensor:
    """[P, corners]; torch reads a list of lists ten times as slowly."""
    flat = np.fromiter(chain.from_iterable(simplices), np.int64, corners * len(simplices))
    return torch.from_numpy(flat).view(-1, corners)


def _half_lengths(points: Tensor, edges: list[list[int]]) -> Tensor:
    ends = points[_indices(edges, 2).to(points.device)]
    return (ends[:, 0] - ends[:, 1]).norm(dim=1) / 2


def _circumradii(points: Tensor, triangles: list[list[int]]) -> Tensor:
    """a b c / (4 area)."""
    corners = points[_indices(triangles, 3).to(points.device)]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice_area = (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).abs()
    return one.norm(dim=1) * two.norm(dim=1) * (one - two).norm(dim=1) / (2 * twice_area)


def _on_diagonal(diagram: Tensor) -> Tensor:
    return diagram.mean(1, keepdim=True).expand(-1, 2)
