"""What to read and which rows to keep: the configuration of `biodata.ingest`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from biodata.codon import genetic_code
from biodata.curate.cds_policy import CdsPolicy
from biodata.curate.letter_rules import LetterPolicy
from biodata.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """What to read and which rows to keep.

    Attributes:
        inputs: files, folders and patterns (FASTA, GenBank, EMBL; plain, .gz, .bz2, .zst, bgzip).

    >>> ReadConfig(inputs=("a.fa",), take="genes")
    Traceback (most recent call last):
    biodata.errors.ConfigError: take is 'genes', allowed: records, cds
    """

    inputs: tuple[str, ...] = field(
        default=(),
        metadata={"help": "files, folders or glob patterns: FASTA, GenBank, EMBL; compressed or not"},
    )
    alphabet: Literal["dna", "rna", "protein"] = field(
        default="dna", metadata={"help": "what the sequences are; never guessed"}
    )
    take: Literal["records", "cds"] = field(
        default="records",
        metadata={"help": "whole records, or coding sequences (cut from annotation, or FASTA of CDS)"},
    )
    transl_table: int = field(
        default=1, metadata={"help": "NCBI translation table of CDS that do not name their own"}
    )
    min_length: int = field(default=1, metadata={"help": "shortest sequence kept, letters, 1 or more"})
    max_length: int = field(default=0, metadata={"help": "longest sequence kept, letters; 0 for no limit"})
    on_bad_file: Literal["error", "drop"] = field(
        default="error", metadata={"help": "a damaged or unreadable file: stop, or leave it out and count it"}
    )
    labels: Path | None = field(
        default=None, metadata={"help": "CSV or TSV with a column id; other columns become labels"}
    )
    letters: LetterPolicy = field(
        default_factory=LetterPolicy, metadata={"help": "lower case, U and T, IUPAC codes, gaps"}
    )
    cds: CdsPolicy = field(default_factory=CdsPolicy, metadata={"help": "coding sequences that break a rule"})

    def __post_init__(self) -> None:
        choices = {"alphabet": ("dna", "rna", "protein"), "take": ("records", "cds"),
                   "on_bad_file": ("error", "drop")}  # fmt: skip
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} is {value!r}, allowed: {', '.join(allowed)}")
        if self.take == "cds" and self.alphabet == "protein":
            raise ConfigError("take is 'cds' with alphabet 'protein', allowed: dna, rna")
        if self.min_length < 1:
            raise ConfigError(f"min_length is {self.min_length}, allowed: 1 or more")
        if self.max_length and self.max_length < self.min_length:
            allowed = f"0 (no limit) or min_length, {self.min_length}, or more"
            raise ConfigError(f"max_length is {self.max_length}, allowed: {allowed}")
        genetic_code(self.transl_table)
