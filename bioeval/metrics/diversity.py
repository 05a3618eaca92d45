"""Diversity: whether a set holds as many different sequences as nature does, or one many times.

Source: the internal diversity of generated sets as mean pairwise edit distance (HELM, arXiv:2410.12459, after
Benhenda 2017, arXiv:1708.08227). HELM's mean includes each sequence against itself, which is 0; here it does
not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.errors import ConfigError
from bioeval.metrics.nearest import identity
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

_ALL_PAIRS = 32
"""Up to so many sequences every pair is compared."""


@dataclass(frozen=True, slots=True)
class DiversityFeatures:
    """Which text each sequence has, and its distances to some other sequences of the set.

    Attributes:
        texts: int64 [n], equal numbers for equal sequences.
        partners: int64 [n, partners], rows of others.
        distances: float64 of that shape, 0 to 1.
    """

    texts: np.ndarray
    partners: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """Percent of sequences that are the only ones of their kind, and mean pairwise distance: of all pairs of
    at most 32 sequences, of a sample of pairs of more.

    Distance is edit distance over the length of the longer (1 - identity). Pairs are drawn once for each set,
    some partners a sequence; a subset is judged by the pairs that lie within it.

    Attributes:
        partners: partners of a sequence among more than 32, at least 1.
        seed: of their draw.
    """

    partners: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.partners < 1:
            raise ConfigError(f"partners = {self.partners} is out of range, allowed: at least 1")

    @classmethod
    def of_run(cls, setting: Setting) -> list[Diversity]:
        """Of any alphabet."""
        return [cls(seed=setting.seed)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(name="distinct", unit="%", title="Sequences that occur once", kind="share",
                    kept_by_shuffling=True),
            Measure(name="diversity", unit="fraction", title="Pairwise distance within the set, mean",
                    kind="share"),
        )  # fmt: skip

    def features(self, sequences: SequenceSet) -> DiversityFeatures:
        strings = sequences.strings()
        texts = np.unique(np.array(strings, dtype=object).astype(str), return_inverse=True)[1].reshape(-1)
        partners = self._partners(len(strings))
        distances = np.zeros(partners.shape)
        for row, others in enumerate(partners.tolist()):
            for place, other in enumerate(others):
                distances[row, place] = 1 - identity(strings[row], strings[other])
        return DiversityFeatures(texts, partners, distances)

    def _partners(self, n: int) -> np.ndarray:
        """Rows of others, int64 [n, partners]: never the sequence itself."""
        if n <= _ALL_PAIRS:
            steps = np.tile(np.arange(1, max(n, 1)), (n, 1))
        else:
            steps = np.random.default_rng(self.seed).integers(1, n, size=(n, self.partners))
        return (np.arange(n)[:, None] + steps) % max(n, 1)

    def compare(
        self, first: DiversityFeatures, second: DiversityFeatures, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        result = np.full((len(rows), 2), np.nan)
        for at, chosen in enumerate(rows):
            times = np.bincount(first.texts[chosen])[first.texts[chosen]]
            inside = chosen[:, None] & chosen[first.partners]
            result[at, 0] = 100 * (times == 1).mean()
            if inside.any():
                result[at, 1] = first.distances[inside].mean()
        return result
