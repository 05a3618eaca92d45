"""What a user decides about coding sequences that break a rule; light, for the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biodata.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsPolicy:
    """What happens to coding sequences that break a rule; each is counted and listed.

    >>> CdsPolicy(inner_stop="kep")
    Traceback (most recent call last):
    biodata.errors.ConfigError: inner_stop is 'kep', allowed: drop, keep
    """

    partial_codon: Literal["drop", "trim", "keep"] = field(
        default="drop", metadata={"help": "length not divisible by three; trim cuts the last one or two"}
    )
    inner_stop: Literal["drop", "keep"] = field(
        default="drop", metadata={"help": "a stop codon before the last codon"}
    )
    missing_start: Literal["drop", "keep"] = field(
        default="keep", metadata={"help": "the first codon is no start codon of the translation table"}
    )
    missing_stop: Literal["drop", "keep"] = field(
        default="keep", metadata={"help": "the last codon is no stop codon"}
    )
    ambiguous_codon: Literal["drop", "keep"] = field(
        default="keep", metadata={"help": "a codon with N or another IUPAC code; kept, it becomes <unk>"}
    )
    translation_mismatch: Literal["drop", "keep"] = field(
        default="drop", metadata={"help": "the sequence does not give the record's own /translation"}
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            allowed = ("drop", "trim", "keep") if name == "partial_codon" else ("drop", "keep")
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} is {value!r}, allowed: {', '.join(allowed)}")
