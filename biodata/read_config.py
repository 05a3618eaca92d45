"""What to read and which rows to keep: the configuration of `biodata.ingest`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from biodata.codon import genetic_code
from biodata.curate.cds_policy import CdsPolicy
from biodata.curate.complexity_policy import ComplexityPolicy
from biodata.curate.exclusion_policy import ExclusionPolicy
from biodata.curate.letter_rules import LetterPolicy
from biodata.curate.repertoire_policy import RepertoirePolicy
from biodata.curate.text_policy import TextPolicy
from biodata.curate.window_policy import WindowPolicy
from biodata.errors import ConfigError

FEATURES = ("CDS", "tRNA", "rRNA", "ncRNA", "tmRNA", "misc_RNA", "regulatory", "mobile_element",
            "repeat_region")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """What to read and which rows to keep.

    Attributes:
        inputs: files, folders and patterns (plain, .gz, .bz2, .zst, bgzip), formats of `biodata.io.READERS`.

    >>> ReadConfig(inputs=("a.fa",), take="genes")
    Traceback (most recent call last):
    biodata.errors.ConfigError: take is 'genes', allowed: records, cds, features
    """

    inputs: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "files, folders or glob patterns: FASTA, FASTQ, GenBank, EMBL, AIRR, OAS, VDJdb, TCRdb, "
            "SMILES, CSV, TSV, Parquet; compressed or not"
        },
    )
    alphabet: Literal["dna", "rna", "protein", "selfies"] = field(
        default="dna", metadata={"help": "what the sequences are; never guessed"}
    )
    take: Literal["records", "cds", "features"] = field(
        default="records",
        metadata={"help": "whole records, coding sequences (of annotation, or FASTA of CDS), or features"},
    )
    feature_types: tuple[str, ...] = field(
        default=FEATURES, metadata={"help": "with take features: keys of the annotation to cut"}
    )
    transl_table: int = field(
        default=1, metadata={"help": "NCBI translation table of CDS that do not name their own"}
    )
    min_length: int = field(default=1, metadata={"help": "shortest sequence kept, letters, 1 or more"})
    max_length: int = field(default=0, metadata={"help": "longest sequence kept, letters; 0 for no limit"})
    on_bad_file: Literal["error", "drop"] = field(
        default="error", metadata={"help": "a damaged or unreadable file: stop, or leave it out and count it"}
    )
    sequence_column: str = field(
        default="",
        metadata={
            "help": "column of CSV, TSV and Parquet with the sequences; empty: sequence, seq, cds, ..."
        },
    )
    id_column: str = field(
        default="", metadata={"help": "column with the ids; empty: id, name, ..., else the line"}
    )
    molecules: Literal["smiles", "selfies"] = field(
        default="smiles", metadata={"help": "how molecules are written in the files (alphabet selfies)"}
    )
    labels: Path | None = field(
        default=None, metadata={"help": "CSV or TSV with a column id; other columns become labels"}
    )
    letters: LetterPolicy = field(
        default_factory=LetterPolicy, metadata={"help": "lower case, U and T, IUPAC codes, gaps"}
    )
    cds: CdsPolicy = field(default_factory=CdsPolicy, metadata={"help": "coding sequences that break a rule"})
    windows: WindowPolicy = field(
        default_factory=WindowPolicy, metadata={"help": "long rows cut into overlapping windows"}
    )
    complexity: ComplexityPolicy = field(
        default_factory=ComplexityPolicy, metadata={"help": "low complexity, too many ambiguous letters"}
    )
    texts: TextPolicy = field(default_factory=TextPolicy, metadata={"help": "what texts say of sequences"})
    exclusion: ExclusionPolicy = field(
        default_factory=ExclusionPolicy, metadata={"help": "records kept out for biosafety"}
    )
    repertoire: RepertoirePolicy = field(
        default_factory=RepertoirePolicy,
        metadata={"help": "antibodies and T-cell receptors: region taken, chains and rearrangements kept"},
    )

    def __post_init__(self) -> None:
        choices = {"alphabet": ("dna", "rna", "protein", "selfies"), "take": ("records", "cds", "features"),
                   "on_bad_file": ("error", "drop"), "molecules": ("smiles", "selfies")}  # fmt: skip
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} is {value!r}, allowed: {', '.join(allowed)}")
        if self.take != "records" and self.alphabet not in ("dna", "rna"):
            raise ConfigError(f"take is {self.take!r} with alphabet {self.alphabet!r}, allowed: dna, rna")
        if self.min_length < 1:
            raise ConfigError(f"min_length is {self.min_length}, allowed: 1 or more")
        if self.max_length and self.max_length < self.min_length:
            allowed = f"0 (no limit) or min_length, {self.min_length}, or more"
            raise ConfigError(f"max_length is {self.max_length}, allowed: {allowed}")
        if self.transl_table != 1:  # 1 is there; reading the tables takes 40 ms
            genetic_code(self.transl_table)
        self._check_texts()
        self._check_molecules()

    def _check_molecules(self) -> None:
        settings = {"window": self.windows.window, "deny_sequences": self.exclusion.deny_sequences,
                    "low_complexity": self.complexity.low_complexity}  # fmt: skip
        for name, value in settings.items():
            if self.alphabet == "selfies" and value not in (0, None, "keep"):
                raise ConfigError(f"{name} is set with alphabet 'selfies', allowed: dna, rna, protein")

    def _check_texts(self) -> None:
        level = self.texts.text_level
        if level == "feature" and self.take == "records":
            raise ConfigError("text_level is 'feature' with take 'records', allowed: take cds or features")
        if level == "record" and self.take != "records":
            raise ConfigError(f"text_level is 'record' with take {self.take!r}, allowed: take records")
        if level == "window" and not self.windows.window:
            raise ConfigError("text_level is 'window' but window is 0: say how long windows are")
