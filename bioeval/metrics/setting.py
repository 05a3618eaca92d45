"""What a comparison is about: what a metric asks to know whether it applies, and with which options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet

PersistenceDistance = Literal["sliced", "wasserstein", "bottleneck"]


class NotApplicableError(Exception):
    """A metric that says nothing about these sequences; its text is the reason, shown to the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The sets that are compared and the options of a run.

    Attributes:
        generated: the set that is judged.
        reference: natural sequences.
        train: training sequences, where they are given.
        coding: whether the reference is coding sequences, read from their first letter.
        table: NCBI translation table.
        kmers: k of the k-mer divergences.
        alpha: pseudo-count.
        both_strands: whether both strands of nucleotides count.
        points: of a chaos-game cloud.
        resamples: of costly metrics.
        distance: between persistence diagrams.
        embed: makes vectors of sequences for the Frechet distance; None takes k-mer frequencies.
        prompt: letters at the start of every generated sequence that were given, not generated.
        seed: of random draws.
    """

    generated: SequenceSet
    reference: SequenceSet
    train: SequenceSet | None = None
    coding: bool = False
    table: int = 1
    kmers: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    alpha: float = 0.5
    both_strands: bool = False
    points: int = 2000
    resamples: int = 25
    distance: PersistenceDistance = "sliced"
    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    prompt: int = 0
    seed: int = 0

    @property
    def letters(self) -> str:
        """The alphabet."""
        return self.reference.letters

    def need_nucleotides(self) -> None:
        """For metrics of DNA and RNA.

        Raises:
            NotApplicableError: other sequences.
        """
        if self.letters != NUCLEOTIDES:
            raise NotApplicableError("only of nucleotide sequences")

    def need_coding(self) -> None:
        """For metrics of codons.

        Raises:
            NotApplicableError: sequences that are not coding.
        """
        self.need_nucleotides()
        if not self.coding:
            raise NotApplicableError(
                "only of coding sequences (the reference is not: see the option --coding)"
            )

    def need_train(self) -> SequenceSet:
        """The training sequences.

        Raises:
            NotApplicableError: none were given.
        """
        if self.train is None:
            raise NotApplicableError("no training sequences were given (--train)")
        return self.train

    def need_length(self, least: int) -> None:
        """For metrics that need sequences of a length.

        Raises:
            NotApplicableError: half of one of the sets is shorter.
        """
        for name, sequences in (("generated", self.generated), ("reference", self.reference)):
            median = float(np.median(sequences.lengths))
            if median < least:
                raise NotApplicableError(
                    f"half of the {name} sequences are shorter than {least} letters (median {median:,.0f})"
                )
