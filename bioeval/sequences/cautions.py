"""What makes the values of `eval sequences` weaker than they look, in words."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from bioeval.metrics.counting import letter_table
from bioeval.metrics.kmer import WINDOWS_PER_KMER
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet

if TYPE_CHECKING:
    from bioeval.sequences.config import SequencesConfig
    from bioeval.sequences.evaluation import Inputs

COARSE = 40
"""Fewer reference sequences make a coarse null."""

UNKNOWN = 0.01
"""From this share of letters on that stand for no single one (N, X, gaps) they are spoken of."""


def find_cautions(config: SequencesConfig, inputs: Inputs) -> list[str]:
    """One line a caution: few windows a k-mer, a coarse null, sequences or letters that do not count, sets
    that share sequences.

    Args:
        config: of the run.
        inputs: its sequences.
    """
    messages = _few_windows(config, inputs)
    if len(inputs.reference) < COARSE:
        messages.append(
            f"{len(inputs.reference)} reference sequences make a coarse null: give {COARSE} or more"
        )
    for name, sequences in _named(inputs):
        messages += _without_letters(name, sequences)
    return messages + _shared(inputs)


def _few_windows(config: SequencesConfig, inputs: Inputs) -> list[str]:
    windows = min(int(s.lengths.sum()) for s in (inputs.generated, inputs.reference))
    size, letters = inputs.reference.other, inputs.reference.letters
    counted = [k for k in config.kmers if letters == NUCLEOTIDES or k <= 3] if "kmer" in config.chosen else []
    few = [k for k in counted if size**k * WINDOWS_PER_KMER > windows]
    if not few:
        return []
    names = ", ".join(str(k) for k in few)
    return [
        f"k = {names}: fewer than {WINDOWS_PER_KMER} windows a k-mer, so sampling noise is a large part "
        f"of the divergence; read it only beside its null"
    ]


def _named(inputs: Inputs) -> list[tuple[str, SequenceSet]]:
    sets = (("generated", inputs.generated), ("reference", inputs.reference), ("training", inputs.train))
    return [(name, sequences) for name, sequences in sets if sequences is not None]


def _without_letters(name: str, sequences: SequenceSet) -> list[str]:
    known, messages = letter_table(sequences).sum(axis=1), []
    if none := int((known == 0).sum()):
        messages.append(f"{none:,} of {len(sequences):,} {name} sequences have no letter that counts")
    unknown = 1 - float(known.sum()) / max(int(sequences.lengths.sum()), 1)
    if unknown >= UNKNOWN:
        messages.append(
            f"{unknown:.0%} of the {name} letters stand for no single one (N, X, gaps): no k-mer, codon or "
            f"point holds them"
        )
    return messages


def _shared(inputs: Inputs) -> list[str]:
    """Sequences that stand in two sets as they are."""
    generated, reference = _digests(inputs.generated), _digests(inputs.reference)
    messages, natural = [], set(reference)
    if both := sum(digest in natural for digest in generated):
        messages.append(
            f"{both:,} of {len(generated):,} generated sequences stand in the reference as they are"
        )
    trained = set(_digests(inputs.train)) if inputs.train is not None else set()
    if seen := sum(digest in trained for digest in reference):
        messages.append(
            f"{seen:,} of {len(reference):,} reference sequences stand in the training set as they are: they "
            "were not held out, and copying looks natural beside them"
        )
    return messages


def _digests(sequences: SequenceSet) -> list[bytes]:
    """A fingerprint of each sequence that is not empty."""
    rows = np.flatnonzero(sequences.lengths).tolist()
    return [blake2b(sequences.row_codes(row).tobytes()).digest() for row in rows]
