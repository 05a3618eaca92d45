"""What a user decides about biosafety exclusion; light, for the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from biodata.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusionPolicy:
    """Which records are kept out of a dataset for biosafety; each is counted and listed.

    A deny-list counts whether `exclude` is on or off.

    >>> ExclusionPolicy(unknown_organism="ignore")
    Traceback (most recent call last):
    biodata.errors.ConfigError: unknown_organism is 'ignore', allowed: drop, error, keep
    """

    exclude: bool = field(
        default=False,
        metadata={"help": "leave out viruses not known to infect bacteria or archaea; recipes: on"},
    )
    unknown_organism: Literal["drop", "error", "keep"] = field(
        default="drop",
        metadata={"help": "with exclude: records that do not say what they come from; keep for own files"},
    )
    more_hosts: tuple[str, ...] = field(
        default=(), metadata={"help": "genera of bacteria and archaea beyond the built-in ones, as in /host"}
    )
    deny_taxa: tuple[str, ...] = field(
        default=(), metadata={"help": "taxa left out: NCBI ids, or names in the lineage or of the organism"}
    )
    deny_sequences: Path | None = field(
        default=None, metadata={"help": "FASTA; rows similar to one of its sequences are left out"}
    )
    deny_identity: float = field(
        default=0.8, metadata={"help": "least alignment identity with a denied sequence, above 0 to 1"}
    )
    deny_coverage: float = field(
        default=0.5,
        metadata={
            "help": "least part of the shorter of row and denied sequence that is aligned, above 0 to 1"
        },
    )
    taxonomy: Path | None = field(
        default=None,
        metadata={"help": "folder with NCBI nodes.dmp and names.dmp: lineages for records with a taxon id"},
    )

    def __post_init__(self) -> None:
        if self.unknown_organism not in ("drop", "error", "keep"):
            raise ConfigError(f"unknown_organism is {self.unknown_organism!r}, allowed: drop, error, keep")
        for name in ("deny_identity", "deny_coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, allowed: above 0, at most 1")
        if any(not taxon.strip() for taxon in self.deny_taxa):
            raise ConfigError("deny_taxa holds an empty name, allowed: NCBI taxon ids and names of taxa")

    @property
    def active(self) -> bool:
        """Whether records have to be looked at while reading."""
        return self.exclude or bool(self.deny_taxa)
