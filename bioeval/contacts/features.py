"""Numbers of a pair of positions: its attention in every head, or what two embeddings say together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioeval.probes.features import Standard

COMPONENTS = 32  # principal components of an embedding
MIXED = 16  # of these, whose products with each other are features too
_MOST_RESIDUES = 20_000  # that components are found from


def corrected(maps: np.ndarray) -> np.ndarray:
    """Attention maps made symmetric, less the average product correction (Dunn et al. 2008,
    doi:10.1093/bioinformatics/btm604, as Rao et al. 2021, doi:10.1101/2020.12.15.422761, use it).

    F_ij - F_i F_j / F, with row sum F_i, column sum F_j and sum F of the symmetric map; the sums contain the
    diagonal and all near pairs.

    Args:
        maps: `[f, t, t]`.
    """
    both = maps + maps.transpose(0, 2, 1)
    sums, total = both.sum(2), both.sum((1, 2))
    total = np.where(total > 0, total, 1)  # a map without attention stays 0
    return both - sums[:, :, None] * sums[:, None, :] / total[:, None, None]


@dataclass(frozen=True, slots=True)
class PairMixer:
    """Features of pairs from embeddings of positions; the same for i, j and j, i.

    Of the first 32 principal components (of unit variance, found from train residues) z: z_i z_j of each,
    symmetrised products of different ones among the first 16, and |z_i - z_j|.

    Attributes:
        standard: of the embeddings.
        turn: `[kept, components]`, to components of unit variance.
    """

    standard: Standard
    turn: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[np.ndarray], *, total: int, seed: int) -> PairMixer:
        """Found from the embeddings of train residues.

        Args:
            rows: `[t, d]` of each train sequence.
            total: residues of all of them.
            seed: of the draw of residues where there are many, and of the solver.

        Raises:
            DataError: no column varies.
        """
        from sklearn.decomposition import PCA

        rng, share = np.random.default_rng(seed), _MOST_RESIDUES / total
        x = np.concatenate([row[rng.random(len(row)) < share] for row in rows])
        standard = Standard.of(x)
        z = standard(x)
        found: Any = PCA(min(COMPONENTS, *z.shape), random_state=seed).fit(z)
        spread = np.sqrt(found.explained_variance_)
        kept = spread > 1e-6 * spread[0]
        return cls(standard, found.components_[kept].T / spread[kept])

    def components(self, row: np.ndarray) -> np.ndarray:
        """float32 `[t, components]` of embeddings `[t, d]`."""
        return (self.standard(row) @ self.turn).astype(np.float32)

    def pairs(self, z: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """float32 `[n, features]` of pairs.

        Args:
            z: of `components`.
            i: one side.
            j: the other.
        """
        a, b = z[i], z[j]
        first, second = np.triu_indices(min(MIXED, z.shape[1]))
        mixed = (a[:, first] * b[:, second] + a[:, second] * b[:, first]) / 2
        return np.concatenate([mixed, a[:, MIXED:] * b[:, MIXED:], np.abs(a - b)], axis=1)


def separation_prior(apart: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of contacts at every distance along the sequence, `[steps]`, index of `step_of`.

    A distance that no train pair has gets the share of the nearest smaller one; every share is drawn to that
    of all pairs by two pairs' weight.

    Args:
        apart: |i - j| of the train pairs, int `[n]`.
        y: whether each is a contact, bool `[n]`.
    """
    steps = step_of(apart)
    n = np.bincount(steps)
    shares = (np.bincount(steps, y) + 2 * y.mean()) / (n + 2)
    last = np.maximum.accumulate(np.where(n > 0, np.arange(len(n)), -1))
    return np.where(last >= 0, shares[np.maximum(last, 0)], y.mean())


def step_of(apart: np.ndarray) -> np.ndarray:
    """Distances up to 32 one by one, larger ones in eighths of an octave.

    >>> step_of(np.array([6, 32, 64])).tolist()
    [6, 32, 40]
    """
    far = 32 + np.floor(8 * np.log2(np.maximum(apart, 32) / 32))
    return np.where(apart < 32, apart, far).astype(np.int64)
