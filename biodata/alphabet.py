"""Alphabets dna, rna, protein and selfies, with the IUPAC rules stated.

An alphabet is never guessed and a symbol is never rewritten here: upper-casing, U/T exchange and the
treatment of ambiguous symbols are explicit, counted steps of `biodata.curate`. Sources: IUPAC-IUB 1984
(doi:10.1093/nar/13.9.3021) for nucleotides, IUPAC-IUB 1983 for amino acids; U (selenocysteine) and O
(pyrrolysine) are residues like the other twenty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from biodata.errors import ConfigError

_DNA_AMBIGUOUS = {
    "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
_RESIDUES = "ACDEFGHIKLMNPQRSTVWYUO"
_SELFIES_TOKEN = re.compile(r"\[[^\[\]\s]+\]|\.")


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The symbols of one kind of sequence.

    Attributes:
        name: `dna`, `rna`, `protein` or `selfies`.
        symbols: unambiguous symbols, upper case; empty for selfies, whose symbols are bracketed tokens.
        ambiguous: IUPAC code to the symbols it stands for.
        extra: symbols that are allowed but are neither (`*` marks a stop in a protein).

    >>> DNA.is_valid("ACGTN"), DNA.is_valid("ACGU"), RNA.is_valid("ACGU")
    (True, False, True)
    >>> sorted(DNA.invalid_symbols("AC-GTX"))
    ['-', 'X']
    """

    name: str
    symbols: str
    ambiguous: Mapping[str, str] = field(default_factory=dict)
    extra: str = ""

    @property
    def letters(self) -> str:
        """Every allowed single-letter symbol."""
        return self.symbols + "".join(self.ambiguous) + self.extra

    def is_valid(self, sequence: str) -> bool:
        """Whether every symbol is allowed, upper case, ambiguity codes included."""
        return not self.invalid_symbols(sequence)

    def invalid_symbols(self, sequence: str) -> set[str]:
        """The symbols of a sequence that the alphabet does not have."""
        if self.name == "selfies":
            return set(_SELFIES_TOKEN.sub("", sequence))
        return set(sequence).difference(self.letters)


DNA = Alphabet("dna", "ACGT", _DNA_AMBIGUOUS)
RNA = Alphabet("rna", "ACGU", {code: of.replace("T", "U") for code, of in _DNA_AMBIGUOUS.items()})
PROTEIN = Alphabet("protein", _RESIDUES, {"B": "DN", "Z": "EQ", "J": "IL", "X": _RESIDUES}, extra="*")
SELFIES = Alphabet("selfies", "")

ALPHABETS: Mapping[str, Alphabet] = {a.name: a for a in (DNA, RNA, PROTEIN, SELFIES)}


def get_alphabet(name: str) -> Alphabet:
    """The alphabet of a name.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in ALPHABETS:
        raise ConfigError(f"unknown alphabet {name!r} (known: {', '.join(ALPHABETS)})")
    return ALPHABETS[name]


def reverse_complement(sequence: str) -> str:
    """Reverse complement of DNA, IUPAC codes included; case is kept.

    >>> reverse_complement("ACGTN"), reverse_complement("aR")
    ('NACGT', 'Yt')
    """
    return sequence.translate(_COMPLEMENT)[::-1]


_COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVNacgtryswkmbdhvn", "TGCAYRSWMKVHDBNtgcayrswmkvhdbn")
