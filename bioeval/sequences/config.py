"""The options of `eval sequences`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from biodata.codon import genetic_code
from biodata.errors import ConfigError
from bioeval.metrics import METRICS
from bioeval.metrics.counting import MAX_K
from bioeval.metrics.kmer import KmerDivergence
from bioeval.metrics.setting import PersistenceDistance

ALPHABETS = ("auto", "nucleotide", "protein", "smiles")
_ANY = "file, folder or pattern of any format that `data build` reads, dataset, or source name"
_LEAST = (
    ("resamples", 20), ("persistence_resamples", 20), ("persistence_points", 10), ("max_sequences", 0),
    ("max_train", 0), ("prompt", 0), ("screen_timeout", 0), ("seed", 0),
)  # fmt: skip


_NEEDS = (
    ("screen_timeout", ("screen",)), ("max_train", ("train",)), ("model", ("frechet",)),
    ("persistence_distance", ("persistence", "c4dr")),
    ("prompt", ("discriminator", "longest-match", "nearest", "canaries")),
)  # fmt: skip
"""Settings, and the metrics or other settings that they are of."""

LEAST_DRAWN = 4
"""Fewer sequences of a set cannot be parted into halves."""


def command_words(command: str) -> list[str]:
    """The words of a command, as a shell takes them apart.

    Raises:
        ConfigError: none, or a quotation without end.

    >>> command_words("commec screen -o '{output}/my run' {input}")
    ['commec', 'screen', '-o', '{output}/my run', '{input}']
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"screen = {command!r}: {str(error).lower()}") from None
    if not words:
        raise ConfigError(f"screen = {command!r} names no command")
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencesConfig:
    """What is compared with what, and how finely."""

    generated: Path = field(metadata={"help": f"generated sequences: {_ANY}"})
    reference: Path = field(
        metadata={"help": f"held-out natural sequences: {_ANY}; of a dataset its test split"}
    )
    train: Path | None = field(
        default=None,
        metadata={"help": f"training sequences, to see copying: {_ANY}; of a dataset its train split"},
    )
    canaries: Path | None = field(
        default=None,
        metadata={"help": "file of made-up sequences planted in training: are they repeated?"},
    )
    out: Path = field(metadata={"help": "folder for results.json and pictures.json"})
    alphabet: Literal["auto", "nucleotide", "protein", "smiles"] = field(
        default="auto",
        metadata={
            "help": "auto: what the reference says (UniRef, molecules, column alphabet), else nucleotides"
        },
    )
    sequence_column: str = field(
        default="", metadata={"help": "column of tables with the sequences; empty: sequence, seq, cds, ..."}
    )
    metrics: tuple[str, ...] = field(
        default=tuple(METRICS), metadata={"help": "families of metrics: " + ", ".join(METRICS)}
    )
    kmers: tuple[int, ...] = field(
        default=(1, 2, 3, 4, 5, 6),
        metadata={"help": f"k of the k-mer divergences, each 1 to {MAX_K} letters"},
    )
    alpha: float = field(default=0.5, metadata={"help": "pseudo-count a k-mer or codon, above 0"})
    strands: Literal["given", "both"] = field(
        default="given",
        metadata={"help": "k-mers and chaos game of the strand given, or of both (genomic pieces)"},
    )
    coding: Literal["auto", "yes", "no"] = field(
        default="auto", metadata={"help": "codon usage and reading frames: auto looks at the reference"}
    )
    table: int = field(default=1, metadata={"help": "NCBI translation table, by number"})
    resamples: int = field(default=200, metadata={"help": "random splits of each null, at least 20"})
    persistence_points: int = field(default=2000, metadata={"help": "points a chaos-game cloud, at least 10"})
    persistence_resamples: int = field(
        default=25,
        metadata={"help": "random splits of the null of persistence and classifier, at least 20"},
    )
    persistence_distance: PersistenceDistance = field(
        default="sliced", metadata={"help": "distance between persistence diagrams"}
    )
    model: str | None = field(
        default=None,
        metadata={"help": "MODEL whose embeddings the Frechet distance takes, by default k-mer shares"},
    )
    prompt: int = field(
        default=0,
        metadata={
            "help": "letters at the start of each sequence that were given, not generated: the classifier, "
            "longest matches, copied windows and canaries leave them out"
        },
    )
    screen: str | None = field(
        default=None,
        metadata={"help": "command of a biosecurity screener; {input} is the FASTA, {output} a folder"},
    )
    screen_timeout: int = field(default=0, metadata={"help": "seconds the screener may take, 0 = any"})
    max_sequences: int = field(
        default=1000, metadata={"help": "sequences drawn of the generated and of the reference, 0 takes all"}
    )
    max_train: int = field(default=20000, metadata={"help": "training sequences drawn, 0 takes all"})
    seed: int = field(default=0, metadata={"help": "of every random draw, 0 or more"})

    def __post_init__(self) -> None:
        for name in self.metrics:
            METRICS.resolve(name)
        genetic_code(self.table)
        for k in self.kmers:
            KmerDivergence(k=k, alpha=self.alpha)
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is out of range, allowed: at least {least}"
                )
        if 0 < self.max_sequences < LEAST_DRAWN:
            raise ConfigError(
                f"max_sequences = {self.max_sequences} is out of range, allowed: 0 or at least {LEAST_DRAWN}"
            )
        if self.screen is not None:
            command_words(self.screen)
        self._refuse_needless()

    def _refuse_needless(self) -> None:
        has = {*self.chosen, *(("canaries",) if self.canaries else ()), *(("train",) if self.train else ()),
               *(("screen",) if self.screen else ())}  # fmt: skip
        defaults = {entry.name: entry.default for entry in fields(self)}
        for name, needs in _NEEDS:
            if getattr(self, name) != defaults[name] and not has & set(needs):
                raise ConfigError(
                    f"{name} = {getattr(self, name)} does nothing without {' or '.join(needs)}: leave it out"
                )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The families of metrics, without aliases."""
        return tuple(METRICS.resolve(name) for name in self.metrics)
