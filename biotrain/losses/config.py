"""Which losses there are and how they are set. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from biodata.catalog import Catalog
from biodata.codon import CODONS, genetic_code
from biodata.errors import ConfigError
from biotrain.ranges import check_range

LOSSES = Catalog("loss", {"hxe": "biotrain.losses.hxe:build", "xe": "biotrain.losses.xe:build"})
"""Name to `build(config, tokens)`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """A training loss. The fields after `name` belong to `hxe`.

    `normalize` is off by default, other than in HELM: so alpha = 0 is cross-entropy itself, values are of
    its size, and gradient clipping means the same for both losses. Never compare HXE values across alpha;
    compare plain cross-entropy.

    Raises:
        ConfigError: a value out of range.

    >>> LossConfig(name="hxe", alpha=-1)
    Traceback (most recent call last):
    biodata.errors.ConfigError: loss alpha must be 0 or more, got -1
    """

    name: str = field(
        default="xe", metadata={"help": "xe (cross-entropy) or hxe (hierarchical, on the codon tree)"}
    )
    alpha: float = field(
        default=0.2,
        metadata={"help": "hxe: decay of a level's weight with depth, 0 = cross-entropy (HELM 0.2)"},
    )
    normalize: bool = field(
        default=False,
        metadata={"help": "hxe: divide by the summed weight of all nodes, as HELM does (about 1/50)"},
    )
    start_codon: str = field(
        default="ATG", metadata={"help": "hxe: codon that forms a group of its own; '' = with its amino acid"}
    )
    table: int = field(default=1, metadata={"help": "hxe: NCBI translation table number"})

    def __post_init__(self) -> None:
        LOSSES.resolve(self.name)
        check_range("loss alpha", self.alpha, low=0)
        if self.start_codon and self.start_codon not in CODONS:
            raise ConfigError(
                f"loss start_codon must be a codon such as 'ATG' or '', got {self.start_codon!r}"
            )
        genetic_code(self.table)
