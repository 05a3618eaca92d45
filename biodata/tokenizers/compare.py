"""Tokenizers side by side on one dataset: length, vocabulary, reading frame, information.

Entropies are those of Shannon 1948 (doi:10.1002/j.1538-7305.1948.tb01338.x), in bits, of observed
frequencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.progress import say
from biodata.tokenizers.columns import byte_lengths, letters_of
from biodata.tokenizers.kmer import KmerTokenizer
from biodata.tokenizers.load import load_tokenizer
from biodata.tokenizers.measure import Measure, warnings_of
from biodata.tokenizers.protocol import Encoded, Tokenizer
from biodata.tokenizers.rows import training_strings
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK
from biodata.tokenizers.zipf import check_plot, draw_zipf

RENYI_ORDER = 2.5
"""Order that Zouhar et al. 2023 (arXiv:2306.16842, section 5) found to predict the quality of translation."""

ROUND_TRIPS = 1000
"""Rows that are decoded again."""

_FIRST = len(SPECIAL_TOKENS)
_UPPER = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_UPPER_DNA = _UPPER.replace(b"U", b"T")  # of u as well


@dataclass(slots=True)
class Usage:
    """Counts over encoded rows.

    Attributes:
        tokens: how often each id occurs; `chained`: of these, after a known token of the same row.
        letters: how often each byte occurs, as the tokenizer reads it (case, U as T).
        boundaries: between two tokens, up to a row's first `<unk>`; `in_frame`: of these, after whole codons.
        codon_ends: ends of codons, the last of a row left out, in the stretches where boundaries are counted.
        chance: boundaries in frame if each row's lay at random places.
        trips: rows decoded again; `exact`: of these, without a difference.
    """

    tokens: np.ndarray
    chained: np.ndarray
    letters: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    boundaries: int = 0
    in_frame: int = 0
    codon_ends: int = 0
    chance: float = 0.0
    trips: int = 0
    exact: int = 0


def compare_tokenizers(tokenizers: Sequence[Path], data: Path, *, plot: Path | None = None) -> dict[str, Any]:
    """Measures saved tokenizers on the same sequences (the training split of a dataset, or all of a file).

    Args:
        tokenizers: their folders.
        data: dataset folder, Parquet or sequence file.
        plot: SVG or PNG with the frequency of tokens by rank.

    Returns:
        `tokenizers`, in the order given: `path`, `kind`, `vocab_size`, `rows`, `tokens`, `letters`,
        `symbols_per_token`, `unknown_rate`, and what `describe` adds. With `plot`, its path.

    Raises:
        MissingExtraError: a plot without matplotlib.
    """
    if plot is not None:
        check_plot(plot)
    results, counts = [], {}
    for folder in tokenizers:
        tokenizer = load_tokenizer(folder)
        measured, usage = _count(tokenizer, training_strings(data, tokenizer.kind))
        warnings = warnings_of(tokenizer, measured)
        for warning in warnings:
            say(f"warning: {folder}: {warning}")
        results.append(
            {
                "path": str(folder),
                "kind": tokenizer.kind,
                "vocab_size": tokenizer.vocab_size,
                "rows": measured.rows,
                "tokens": measured.tokens,
                "letters": measured.letters,
                "symbols_per_token": measured.symbols_per_token,
                "unknown_rate": measured.unknown_rate,
                **describe(tokenizer, usage),
                "warnings": warnings,
            }
        )
        counts[str(folder)] = usage.tokens[_FIRST:]
    if plot is None:
        return {"tokenizers": results}
    draw_zipf(counts, plot)
    return {"tokenizers": results, "plot": str(plot)}


def describe(tokenizer: Tokenizer, usage: Usage) -> dict[str, Any]:
    """What the counts say.

    Returns:
        - `vocabulary_used`: share of the tokens, special ones left out, that occur at least once.
        - `zipf_exponent`: minus the slope of log count on log rank, least squares over the tokens that occur.
        - `token_bits`: entropy of a token; `bits_per_letter`: bits of all tokens by it, divided by letters;
          `letter_bits`: entropy of a letter, what `bits_per_letter` is to be compared with.
        - `renyi_efficiency`: Renyi entropy of order 2.5 over log2 of the vocabulary size.
        - `codon_boundaries`: share of token boundaries that lie between codons, frame 0, and
          `codon_boundaries_by_chance` if they lay anywhere; `codons_bounded`: share of codon ends that are
          token boundaries. Null where there is no frame: no nucleotides, or overlapping k-mers.
        - `information_kept`: self-information (-log2 of its frequency) of the letters that known tokens hold,
          over that of all letters; what `<unk>` stands for is lost. Null for text.
        - `round_trip`: share of the first `ROUND_TRIPS` rows that decoding gives back (case, U as T aside).
    """
    known = usage.tokens[_FIRST:]
    used = np.sort(known[known > 0])[::-1].astype(float)
    letters = int(usage.letters.sum())
    bits = entropy(usage.tokens)
    framed = usage.boundaries > 0
    return {
        "vocabulary_used": len(used) / max(len(known), 1),
        "zipf_exponent": _zipf_exponent(used),
        "token_bits": bits,
        "bits_per_letter": bits * int(usage.tokens.sum()) / letters if letters else 0.0,
        "letter_bits": entropy(usage.letters),
        "renyi_efficiency": _renyi_efficiency(usage.tokens, tokenizer.vocab_size),
        "codon_boundaries": usage.in_frame / usage.boundaries if framed else None,
        "codon_boundaries_by_chance": usage.chance / usage.boundaries if framed else None,
        "codons_bounded": usage.in_frame / usage.codon_ends if framed and usage.codon_ends else None,
        "information_kept": _information_kept(tokenizer, usage),
        "round_trip": usage.exact / usage.trips if usage.trips else None,
    }


def entropy(counts: np.ndarray) -> float:
    """Bits of one draw.

    >>> entropy(np.array([2, 2, 0])), entropy(np.array([5]))
    (1.0, 0.0)
    """
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(abs((share * np.log2(share)).sum()))


def _zipf_exponent(used: np.ndarray) -> float | None:
    if len(used) < 2:
        return None
    slope = np.polyfit(np.log(np.arange(1, len(used) + 1)), np.log(used), 1)[0]
    return float(-slope)


def _renyi_efficiency(counts: np.ndarray, size: int) -> float:
    share = counts[counts > 0] / max(counts.sum(), 1)
    if not len(share):
        return 0.0
    return float(np.log2((share**RENYI_ORDER).sum()) / (1 - RENYI_ORDER) / np.log2(size))


def _information_kept(tokenizer: Tokenizer, usage: Usage) -> float | None:
    if tokenizer.alphabet == "joint" or not usage.letters.sum():
        return None
    kept = np.zeros(256)
    for index in np.flatnonzero(usage.tokens[_FIRST:]) + _FIRST:
        text = tokenizer.tokens[index].encode()
        if text.startswith(b"<"):
            continue
        after = usage.chained[index] if _stride(tokenizer) else 0
        _add(kept, text, usage.tokens[index] - after)
        _add(kept, text[-_stride(tokenizer) :], after)
    seen = usage.letters > 0
    cost = -np.log2(usage.letters[seen] / usage.letters.sum())
    whole = float((usage.letters[seen] * cost).sum())
    if not whole:  # one letter only: each holds as much as any other
        return float(kept.sum() / usage.letters.sum())
    return float((kept[seen] * cost).sum()) / whole


def _add(kept: np.ndarray, text: bytes, times: int) -> None:
    for byte in text if times else b"":
        kept[byte] += times


def _stride(tokenizer: Tokenizer) -> int:
    """Letters that a k-mer adds to the one before it; 0 where tokens do not overlap."""
    return tokenizer.stride if isinstance(tokenizer, KmerTokenizer) and tokenizer.overlap else 0


def _count(tokenizer: Tokenizer, columns: Iterable[pa.LargeStringArray]) -> tuple[Measure, Usage]:
    measured = Measure()
    size = tokenizer.vocab_size
    usage = Usage(tokens=np.zeros(size, np.int64), chained=np.zeros(size, np.int64))
    widths = np.array([0 if t.startswith("<") else len(t) for t in tokenizer.tokens])
    framed = tokenizer.alphabet == "dna" and not _stride(tokenizer)
    for rows in columns:
        encoded = tokenizer.encode_column(rows, add_special_tokens=False)
        measured.add(tokenizer, rows, encoded)
        usage.tokens += np.bincount(encoded.ids, minlength=size)
        starts = encoded.offsets[:-1][np.diff(encoded.offsets) > 0]
        usage.chained += np.bincount(encoded.ids[_chained(encoded.ids, starts)], minlength=size)
        usage.letters += np.bincount(
            np.frombuffer(_read_as(tokenizer, letters_of(rows)), np.uint8), minlength=256
        )
        if framed:
            _count_frame(usage, widths, encoded, byte_lengths(rows))
        _count_trips(usage, tokenizer, rows, encoded)
    return measured, usage


def _chained(ids: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which ids come after a known one of the same row."""
    known = ids >= _FIRST
    after = np.zeros(len(ids), bool)
    after[1:] = known[:-1] & known[1:]
    after[starts] = False
    return after


def _count_frame(usage: Usage, widths: np.ndarray, encoded: Encoded, lengths: np.ndarray) -> None:
    """Boundaries up to the first `<unk>` of each row, behind which places are not known."""
    row = np.repeat(np.arange(len(lengths)), np.diff(encoded.offsets))
    first = encoded.offsets[:-1][row]
    unknown = np.cumsum(encoded.ids == UNK)
    before = np.concatenate([[0], unknown])
    clear = (unknown - before[first]) == 0
    ends = np.cumsum(np.where(clear, widths[encoded.ids], 0))
    place = ends - np.concatenate([[0], ends])[first]
    inner = clear & (place < lengths[row])
    usage.boundaries += int(inner.sum())
    usage.in_frame += int((inner & (place % 3 == 0)).sum())
    reach = np.zeros(len(lengths), np.int64)
    np.maximum.at(reach, row[clear], place[clear])
    usage.codon_ends += int(np.where(reach < lengths, reach // 3, np.maximum(reach - 1, 0) // 3).sum())
    share = ((lengths - 1) // 3) / np.maximum(lengths - 1, 1)  # places in frame among those inside a row
    usage.chance += float(share[row[inner]].sum())


def _count_trips(usage: Usage, tokenizer: Tokenizer, rows: pa.LargeStringArray, encoded: Encoded) -> None:
    for number, row in enumerate(islice(rows, max(0, ROUND_TRIPS - usage.trips))):
        text = row.as_py()
        expected = (
            text.lower() if tokenizer.alphabet == "joint" else _read_as(tokenizer, text.encode()).decode()
        )
        found = tokenizer.decode(encoded.row(number).tolist())
        usage.exact += (found.lower() if tokenizer.alphabet == "joint" else found) == expected
        usage.trips += 1


def _read_as(tokenizer: Tokenizer, letters: bytes) -> bytes:
    if tokenizer.alphabet in ("selfies", "joint"):
        return letters
    return letters.translate(_UPPER_DNA if tokenizer.alphabet == "dna" else _UPPER)
