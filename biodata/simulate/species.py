"""Codon usage of real species, as counts: small tables of facts that the simulator draws from.

`species.json` was made by `measure_codon_usage` from the CaLM validation set (Outeiral & Deane 2024,
doi:10.1038/s42256-024-00791-0): whole coding sequences, standard genetic code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from biodata.codon import CODONS, genetic_code
from biodata.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Species:
    """Measured codon counts of one species.

    Attributes:
        name: binomial.
        taxon_id: NCBI taxonomy.
        sequences: coding sequences counted.
        counts: occurrences of each of `biodata.codon.CODONS`, int64 [64].
    """

    name: str
    taxon_id: int
    sequences: int
    counts: np.ndarray

    @property
    def usage(self) -> np.ndarray:
        """Frequency of each sense codon, stops zero, sum 1, float64 [64]."""
        sense = np.where(_is_stop(), 0, self.counts).astype(float)
        return sense / sense.sum()

    @property
    def stop_usage(self) -> np.ndarray:
        """Frequency of each stop codon, others zero, sum 1, float64 [64]."""
        stops = np.where(_is_stop(), self.counts, 0).astype(float)
        return stops / stops.sum()

    @property
    def gc(self) -> float:
        """G+C fraction of the counted codons, 0 to 1."""
        gc = np.array([sum(letter in "GC" for letter in c) for c in CODONS])
        return float((gc * self.counts).sum() / (3 * self.counts.sum()))


def load_species() -> dict[str, Species]:
    """The species that ship with the package, by name.

    >>> sorted(load_species())[0]
    'Arabidopsis thaliana'
    """
    import json

    table = json.loads(files("biodata.simulate").joinpath("species.json").read_text())
    return {
        name: Species(name, row["taxon_id"], row["sequences"], np.array([row["codons"][c] for c in CODONS]))
        for name, row in table["species"].items()
    }


def get_species(name: str) -> Species:
    """One species by name.

    Raises:
        ConfigError: no table of this species ships with the package.
    """
    known = load_species()
    if name not in known:
        raise ConfigError(f"unknown species {name!r} (known: {', '.join(known)})")
    return known[name]


def measure_codon_usage(sequences: Iterable[str]) -> Mapping[str, int]:
    """Codon counts over coding sequences that consist of whole A, C, G, T codons; others are left out.

    >>> measure_codon_usage(["ATGTAA", "ATGN"])["ATG"]
    1
    """
    counts = dict.fromkeys(CODONS, 0)
    for sequence in sequences:
        if len(sequence) % 3 == 0 and not set(sequence) - set("ACGT"):
            for i in range(0, len(sequence), 3):
                counts[sequence[i : i + 3]] += 1
    return counts


@lru_cache
def _is_stop() -> np.ndarray:
    return np.array([genetic_code(1)[c] == "*" for c in CODONS])
