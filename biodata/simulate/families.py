"""Gene families by mutation of ancestors under a real species' codon usage, with planted truth.

Known by construction: the family of each gene (members stay above 90 % identity, families are unrelated),
a property that depends on codon choice, and how many defective records were planted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from biodata.codon import CODONS, genetic_code
from biodata.errors import ConfigError
from biodata.simulate.species import Species, get_species

START = CODONS.index("ATG")
RAMP = 20
"""Codons after the start whose choice counts on its own in the planted property (the translation ramp)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulateConfig:
    """What to simulate.

    Raises:
        ConfigError: a value out of range, quoted.
    """

    species: tuple[str, ...] = field(
        default=("Escherichia coli", "Saccharomyces cerevisiae", "Homo sapiens", "Haloferax volcanii"),
        metadata={"help": "species whose codon usage is drawn from"},
    )
    families: int = field(default=300, metadata={"help": "gene families, shared evenly by the species"})
    members: int = field(default=5, metadata={"help": "mean members of a family (at least 2 each)"})
    min_codons: int = field(default=60, metadata={"help": "shortest gene, codons without the stop"})
    max_codons: int = field(default=140, metadata={"help": "longest gene, codons without the stop"})
    max_mutation: float = field(
        default=0.06, metadata={"help": "largest fraction of codons mutated in a member (0 to 0.07)"}
    )
    noise: float = field(
        default=0.3, metadata={"help": "standard deviation of the noise on the unit-variance property"}
    )
    seed: int = field(default=0, metadata={"help": "seed of everything random"})

    def __post_init__(self) -> None:
        if self.families < len(self.species) or self.members < 2:
            given = f"families={self.families}, members={self.members}"
            raise ConfigError(f"{given}: need at least 1 family a species and 2 members a family")
        if not RAMP + 2 <= self.min_codons <= self.max_codons:
            given = f"min_codons={self.min_codons}, max_codons={self.max_codons}"
            raise ConfigError(f"{given}: need {RAMP + 2} <= min <= max")
        if not 0 <= self.max_mutation <= 0.07:
            limit = "allowed 0 to 0.07 (beyond, members of one family fall below 90 % identity)"
            raise ConfigError(f"max_mutation={self.max_mutation}: {limit}")
        if self.noise < 0:
            raise ConfigError(f"noise={self.noise}: must not be negative")


@dataclass(frozen=True, slots=True)
class Gene:
    """One simulated coding sequence.

    Attributes:
        id: unique, for example `ECO_F003_01`.
        codons: indices into `biodata.codon.CODONS`, start to stop, uint8 [n].
        signal: the property before noise, arbitrary units.
    """

    id: str
    species: str
    family: int
    codons: np.ndarray
    signal: float

    @property
    def sequence(self) -> str:
        """DNA from start to stop codon."""
        return "".join(CODONS[c] for c in self.codons)


def simulate_families(config: SimulateConfig) -> list[Gene]:
    """Draws all genes of all families; equal configs give equal genes."""
    genes: list[Gene] = []
    for family in range(config.families):
        species = get_species(config.species[family % len(config.species)])
        rng = np.random.default_rng([config.seed, family])
        genes += _simulate_family(species, family, config, rng)
    return genes


def planted_property(genes: list[Gene], *, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The property of each gene, noisy and noise-free, standardised.

    Adaptation to one host, the first species of the configuration: mean log relative adaptiveness of the
    codons (Sharp & Li 1987, doi:10.1093/nar/15.3.1281) of the whole gene plus the same of its first `RAMP`
    codons. So one half is linear in codon frequencies, the other needs position.

    Args:
        genes: in the order of the result.
        noise: standard deviation of the noise, 0 or more; that of the property itself is 1.
        seed: of the noise.

    Returns:
        `observed` and `signal`, float64 [n]; `signal` has mean 0 and variance 1.
    """
    signal = np.array([gene.signal for gene in genes])
    signal = (signal - signal.mean()) / signal.std()
    rng = np.random.default_rng([seed, 1_000_003])
    return signal + noise * rng.standard_normal(len(genes)), signal


def _simulate_family(
    species: Species, family: int, config: SimulateConfig, rng: np.random.Generator
) -> list[Gene]:
    bias = rng.uniform(-0.5, 2.0)
    ramp_bias = rng.uniform(-0.5, 2.0)
    host = get_species(config.species[0])
    usage, ramp_usage = _biased_usage(species, bias), _biased_usage(species, ramp_bias)
    length = int(rng.integers(config.min_codons, config.max_codons + 1))
    residues = rng.choice(64, size=length - 1, p=species.usage)
    position_usage = np.where(np.arange(length - 1)[:, None] < RAMP, ramp_usage, usage)
    ancestor = _resample_synonyms(residues, position_usage, rng)
    count = max(2, int(rng.poisson(config.members)))
    code = "".join(word[: 1 if i else 2] for i, word in enumerate(species.name.split())).upper()
    genes = []
    for member in range(count):
        codons = _mutate(ancestor, position_usage, rng.uniform(0.02, max(0.02, config.max_mutation)), rng)
        stop = rng.choice(64, p=species.stop_usage)
        whole = np.concatenate([[START], codons, [stop]]).astype(np.uint8)
        name = f"{code}_F{family:03d}_{member:02d}"
        genes.append(Gene(name, species.name, family, whole, _optimality(codons, host)))
    return genes


def _mutate(
    codons: np.ndarray, position_usage: np.ndarray, rate: float, rng: np.random.Generator
) -> np.ndarray:
    # four mutations in five keep the amino acid, as purifying selection does
    hit = rng.random(len(codons)) < rate
    silent = rng.random(len(codons)) < 0.8
    synonyms = _resample_synonyms(codons, position_usage, rng)
    cumulative = position_usage.cumsum(axis=1)
    anything = (rng.random(len(codons))[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)
    return np.where(hit, np.where(silent, synonyms, anything), codons)


def _resample_synonyms(
    codons: np.ndarray, position_usage: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    weights = position_usage * _synonymous()[codons]
    cumulative = weights.cumsum(axis=1)
    return (rng.random(len(codons))[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)


def _biased_usage(species: Species, bias: float) -> np.ndarray:
    """Usage with the choice among synonyms sharpened (bias > 1), flattened (< 1) or inverted (< 0)."""
    amino = _synonymous() @ species.usage
    share = np.divide(species.usage, amino, out=np.zeros(64), where=amino > 0)
    powered = np.where(share > 0, np.where(share > 0, share, 1.0) ** bias, 0.0)
    total = _synonymous() @ powered
    return amino * np.divide(powered, total, out=np.zeros(64), where=total > 0)


def _optimality(codons: np.ndarray, species: Species) -> float:
    best = (_synonymous() * species.usage).max(axis=1)
    ratio = np.divide(species.usage, best, out=np.ones(64), where=best > 0)
    adaptiveness = np.log(np.maximum(ratio, 0.01))[codons]
    return float(adaptiveness.mean() + adaptiveness[:RAMP].mean())


@lru_cache
def _synonymous() -> np.ndarray:
    """Whether two codons are synonyms, bool [64, 64]; stops are synonyms of nothing but stops."""
    residue = np.array([genetic_code(1)[c] for c in CODONS])
    return residue[:, None] == residue[None, :]
