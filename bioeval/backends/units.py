"""Rows of tokens put onto the letters of a sequence: residues, nucleotides, codons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.backends.checkpoint import Checkpoint


def on_units(
    rows: Sequence[np.ndarray], checkpoint: Checkpoint, sequences: Sequence[str], *, width: int
) -> list[np.ndarray]:
    """The mean of the tokens that cover each unit of `width` letters, float32 `[ceil(length / width), d]`.

    Args:
        rows: float `[tokens, d]` of each sequence.
        checkpoint: whose tokenizer made the tokens.
        sequences: the letters.
        width: letters of a unit, at least 1; the last may have fewer.

    Raises:
        DataError: letters that no token covers.
        ConfigError: a tokenizer that does not say which letters a token covers.
    """
    found = []
    for sequence, spans, row in zip(sequences, spans_of(checkpoint, sequences), rows):
        units = -(-len(sequence) // width)
        sums, counts = np.zeros((units, row.shape[1])), np.zeros(units)
        for (start, end), values in zip(spans, row):
            covered = slice(start // width, -(-end // width))
            sums[covered] += values
            counts[covered] += 1
        if not counts.all():
            letter = int(np.argmin(counts)) * width
            what = f"letter {letter + 1}, {sequence[letter]!r}, is in no token"
            raise DataError(what, where=repr(sequence[:20]), hint=f"tokenizer of {checkpoint.name}")
        found.append((sums / counts[:, None]).astype(np.float32))
    return found


def spans_of(checkpoint: Checkpoint, sequences: Sequence[str]) -> list[list[tuple[int, int]]]:
    """The letters of each token, 0-based and half-open.

    Raises:
        ConfigError: a tokenizer that does not say so, unless it makes one token of every letter.
    """
    if not sequences:
        return []
    if checkpoint.tokenizer.is_fast:
        found = checkpoint.encode(sequences, offsets=True)["offset_mapping"]
        return [[(int(start), int(end)) for start, end in spans] for spans in found]
    spans = []
    for sequence, content in zip(sequences, checkpoint.tokens(sequences)):
        if len(content) != len(sequence):
            raise ConfigError(
                f"the tokenizer of {checkpoint.name} does not say which letters a token covers: "
                f"{len(content)} tokens of {len(sequence)} letters"
            )
        spans.append([(place, place + 1) for place in range(len(sequence))])
    return spans
