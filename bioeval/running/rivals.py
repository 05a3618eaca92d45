"""Baselines that are no embedders: the commonest class, one side of a pair, the mutations themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bioeval.protocols import Embedder, Part
from bioeval.running.items import target_of
from bioeval.tasks import Task


def majority(train: Part, n: int) -> np.ndarray:
    """The shares of the classes (or labels) among the train rows, for each of `n` rows."""
    if train.target == "class":
        shares = np.bincount(train.y, minlength=train.classes) / len(train.y)
    else:
        known = np.isfinite(train.y)
        shares = np.where(known, train.y, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.broadcast_to(shares, (n, len(shares))).copy()


def has_majority(task: Task) -> bool:
    """Whether a constant prediction is a baseline: for numbers most scores of it are undefined."""
    return target_of(task) != "number" and task.kind not in ("zero-shot", "retrieval", "clustering")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSide:
    """The features of one side of a pair alone: what a binding score must beat to be about binding.

    Attributes:
        embedder: of the side.
        name: `first-only` or `second-only`.
    """

    embedder: Embedder
    name: str

    @property
    def key(self) -> str:
        """Depends on the side and the embedder."""
        return f"{self.name}:{self.embedder.key}"

    @property
    def settings(self) -> dict[str, object]:
        """For the result file."""
        return {"features": self.embedder.name, **getattr(self.embedder, "settings", {})}

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """Vectors of that side's sequences."""
        return self.embedder.embed(sequences)

    def embed_pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Vectors of the one side, whatever the other is."""
        return self.embedder.embed(first if self.name == "first-only" else second)


def mutation_scores(task: Task) -> dict[str, np.ndarray]:
    """Zero-shot baselines of the test rows, higher = more natural; none without wild types.

    `mutations`: minus the number of positions that differ (and the difference in length). `blosum62`, of
    proteins: summed BLOSUM62 of what stands there minus that of what stood there (Henikoff & Henikoff 1992,
    doi:10.1073/pnas.89.22.10915).
    """
    references = task.seconds("test")
    if references is None:
        return {}
    pairs = list(zip(task.sequences("test"), references))
    found = {"mutations": np.array([-float(_differing(a, b)) for a, b in pairs])}
    if task.alphabet == "protein":
        found["blosum62"] = np.array([_substituted(a, b) for a, b in pairs])
    return found


def _differing(a: str, b: str) -> int:
    return sum(x != y for x, y in zip(a, b)) + abs(len(a) - len(b))


def _substituted(a: str, b: str) -> float:
    table, gap = _blosum62(), -4.0
    known = [(x, y) for x, y in zip(a, b) if x != y]
    total = sum(table.get((y, x), gap) - table.get((y, y), 0.0) for x, y in known)
    return total + gap * abs(len(a) - len(b))


@cache
def _blosum62() -> dict[tuple[str, str], float]:
    from Bio.Align import substitution_matrices

    matrix: Any = substitution_matrices.load("BLOSUM62")
    letters = str(matrix.alphabet)
    return {(a, b): float(matrix[a, b]) for a in letters for b in letters}
