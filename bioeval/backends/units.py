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
    for (tokens, units), row in zip(covered_units(checkpoint, sequences, width=width), rows):
        counts = np.bincount(units)
        if (counts == 1).all():
            found.append(row[tokens[np.argsort(units)]].astype(np.float32))
            continue
        sums = np.zeros((len(counts), row.shape[1]))
        np.add.at(sums, units, row[tokens])
        found.append((sums / counts[:, None]).astype(np.float32))
    return found


def covered_units(
    checkpoint: Checkpoint, sequences: Sequence[str], *, width: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which tokens cover which units of `width` letters: for each sequence the numbers of a token and of a
    unit, once for each unit that a token touches, by token.

    Args:
        checkpoint: whose tokenizer makes the tokens.
        sequences: the letters.
        width: letters of a unit, at least 1; the last may have fewer. 0 where each token is a unit.

    Raises:
        DataError: letters that no token covers.
        ConfigError: a tokenizer that does not say which letters a token covers.
    """
    if not width:
        every = [np.arange(len(content)) for content in checkpoint.tokens(sequences)]
        return [(tokens, tokens) for tokens in every]
    found = []
    for sequence, spans in zip(sequences, spans_of(checkpoint, sequences)):
        touched = [range(start // width, -(-end // width)) for start, end in spans]
        tokens = np.repeat(np.arange(len(spans)), [len(units) for units in touched])
        units = np.array([unit for some in touched for unit in some], dtype=np.int64)
        counts = np.bincount(units, minlength=-(-len(sequence) // width))
        if not counts.all():
            letter = int(np.argmin(counts)) * width
            what = f"letter {letter + 1}, {sequence[letter]!r}, is in no token"
            raise DataError(what, where=repr(sequence[:20]), hint=f"tokenizer of {checkpoint.name}")
        found.append((tokens, units))
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
