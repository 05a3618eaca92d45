"""Frechet biological distance: how far apart two clouds of embeddings are, taken as Gaussians.

Source: Frechet distance of Gaussians |m - n|^2 + tr(S + T - 2 (S T)^(1/2)) (Dowson and Landau 1982,
doi:10.1016/0047-259X(82)90077-X; on embeddings: Heusel et al. 2017, arXiv:1706.08500); four principal
components fitted on the natural set alone, as HELM does (arXiv:2410.12459) with a protein model's vectors.
HELM's "random" reference was noise in the space of the vectors and lay nearer to nature than generated genes;
here the lower end of the scale is natural against natural and the upper one shuffled sequences, embedded like
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.metrics.counting import kmer_table
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting

COMPONENTS = 4


def frechet_distance(mean: np.ndarray, spread: np.ndarray, other: np.ndarray, width: np.ndarray) -> float:
    """Squared Frechet distance of two Gaussians, 0 or more.

    Args:
        mean: of the first [d].
        spread: its covariance [d, d].
        other: mean of the second.
        width: its covariance.

    >>> frechet_distance(np.zeros(1), np.eye(1), np.array([3.0]), 4 * np.eye(1))
    10.0
    """
    # S T is similar to a symmetric positive matrix, so its eigenvalues are real and not negative
    roots = np.sqrt(np.maximum(np.linalg.eigvals(spread @ width).real, 0))
    distance = ((mean - other) ** 2).sum() + np.trace(spread) + np.trace(width) - 2 * roots.sum()
    return float(max(distance, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrechetDistance:
    """Frechet biological distance in the first principal components of the natural vectors.

    Attributes:
        embed: sequences to vectors [n, d]; None takes shares of 3-mers (2-mers of other alphabets).
        components: principal components of the reference that are kept, at least 1.
    """

    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    components: int = COMPONENTS

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ConfigError(f"components = {self.components} is out of range, allowed: at least 1")

    @classmethod
    def of_run(cls, setting: Setting) -> list[FrechetDistance]:
        """With the model of the run, or with k-mer frequencies."""
        least = 2 * (COMPONENTS + 1)
        smaller = min(len(setting.generated), len(setting.reference) // 2)
        if smaller < least:
            raise NotApplicableError(
                f"{smaller} sequences of a side are too few for covariances, {least} are needed"
            )
        return [cls(embed=setting.embed)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        of = "k-mer shares" if self.embed is None else "embeddings"
        title = f"Frechet biological distance of {of}, {self.components} components"
        return (Measure(name="frechet_distance", unit="squared length", title=title),)

    def features(self, sequences: SequenceSet) -> np.ndarray:
        if self.embed is not None:
            found = np.asarray(self.embed(sequences.strings()), dtype=np.float64)
            if found.ndim != 2 or len(found) != len(sequences) or not np.isfinite(found).all():
                raise DataError(
                    f"the model gave an array of shape {found.shape} for {len(sequences)} sequences, or "
                    "values that are no numbers"
                )
            return found
        counts = kmer_table(sequences, 3 if sequences.letters == NUCLEOTIDES else 2).astype(np.float64)
        return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        centre = second.mean(axis=0)
        axes = np.linalg.svd(second - centre, full_matrices=False)[2][: self.components].T
        one, two = (first - centre) @ axes, (second - centre) @ axes
        return np.array([[_apart(one[a], two[b])] for a, b in zip(rows, others)])


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    if min(len(first), len(second)) < 2:
        return np.nan
    if first.shape == second.shape and np.array_equal(first, second):
        return 0.0
    gaussians = [(v.mean(axis=0), np.atleast_2d(np.cov(v, rowvar=False))) for v in (first, second)]
    return frechet_distance(*gaussians[0], *gaussians[1])
