"""What a task file of kind `contacts` says about its contacts, and what it may not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from biodata.errors import ConfigError

if TYPE_CHECKING:
    from bioeval.tasks.config import TaskConfig

NUCLEOTIDE_SEPARATION = 4  # the loop of a hairpin has three nucleotides or more
RESIDUE_SEPARATION = 6  # as Rao et al. 2021, doi:10.1101/2020.12.15.422761
DISTANCE = 8.0  # angstrom, between C-beta atoms, as CASP counts contacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRules:
    """How contacts are written, and which pairs are trained and scored.

    Attributes:
        notation: `pairs` (`3-27 5-40`, or a list of `[i, j]`), or `dot-bracket` of secondary structure.
        first: number of the first residue in pairs, 0 or 1.
        separation: least |i - j| of pairs that are trained and scored; 0 for 6 (residues, codons) or 4
            (nucleotides).
        longest: rows of more residues are left out, counted and listed; 0 for none. Attention needs memory
            that grows with the square of the length.
        unknown: column of residues whose place is not known, numbers as in the pairs; no pair with them is
            trained or scored.
        distance: structures: angstrom below which two C-beta atoms are in contact; 0 for 8.
        chain: structures: the chain, where files have several.
    """

    notation: Literal["pairs", "dot-bracket"] = "pairs"
    first: int | None = None
    separation: int = 0
    longest: int = 0
    unknown: str | None = None
    distance: float = 0.0
    chain: str = ""

    def __post_init__(self) -> None:
        if self.first not in (None, 0, 1):
            raise ConfigError(
                f"contacts.first = {self.first}, allowed: 0, 1 (the number of the first residue)"
            )
        for name in ("separation", "distance", "longest"):
            if getattr(self, name) < 0:
                raise ConfigError(f"contacts.{name} = {getattr(self, name)}, allowed: 0 or more")


def rules_of(config: TaskConfig) -> ContactRules:
    """The rules of a task of kind `contacts`, the usual ones where its file says nothing."""
    return config.contacts or ContactRules()


def separation_of(config: TaskConfig) -> int:
    """Least |i - j| of pairs that are trained and scored."""
    usual = NUCLEOTIDE_SEPARATION if config.unit == "nucleotide" else RESIDUE_SEPARATION
    return rules_of(config).separation or usual


def check_contacts(config: TaskConfig) -> None:
    """Refuses settings that the kind, or the way its contacts are written, has no use for.

    Raises:
        ConfigError: quoting the setting.
    """
    structures = config.data.format == "structures"
    if config.kind != "contacts":
        if config.contacts is not None or structures:
            what = "format structures" if structures else "contacts"
            raise ConfigError(f"{what} goes with kind contacts, not {config.kind!r}")
        return
    for name, given in (("extract", config.extract), ("least", config.least), ("classes", config.classes),
                        ("target", config.target != "auto")):  # fmt: skip
        if given:
            raise ConfigError(f"{name} does not go with kind contacts")
    if config.unit == "token":
        raise ConfigError(f"kind contacts is of residues or nucleotides, not of alphabet {config.alphabet!r}")
    if structures and (config.alphabet != "protein" or config.data.member):
        raise ConfigError("format structures reads a folder of proteins: alphabet protein, no data.member")
    _check_notation(rules_of(config), structures=structures, nucleotides=config.unit == "nucleotide")
    _check_range(config)


def _check_notation(rules: ContactRules, *, structures: bool, nucleotides: bool) -> None:
    pairs = rules.notation == "pairs"
    if structures:
        for name, given in (("first", rules.first is not None), ("unknown", rules.unknown),
                            ("notation", not pairs)):  # fmt: skip
            if given:
                raise ConfigError(f"contacts.{name} does nothing: structures say it themselves")
        return
    for name in ("distance", "chain"):
        if getattr(rules, name):
            raise ConfigError(f"contacts.{name} goes with format structures")
    if pairs and rules.first is None:
        raise ConfigError("kind contacts needs contacts.first, 0 or 1: the number of the first residue")
    if not pairs and not nucleotides:
        raise ConfigError("contacts.notation dot-bracket goes with unit nucleotide")
    if not pairs and (rules.first is not None or rules.unknown):
        raise ConfigError("contacts.first and contacts.unknown go with notation pairs")


def _check_range(config: TaskConfig) -> None:
    from bioeval.scores.contacts import CONTACT_METRICS, RANGES

    metric = config.metric or CONTACT_METRICS[0]
    span = RANGES.get(metric.partition("-")[0])
    least = separation_of(config)
    if span is not None and span[0] < least:
        raise ConfigError(f"metric {metric} counts pairs from |i - j| = {span[0]}, but "
                          f"contacts.separation = {least}")  # fmt: skip
