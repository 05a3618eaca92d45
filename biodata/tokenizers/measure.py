"""How a tokenizer reads given data: symbols per token, unknown rate, and why tokens are unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from biodata.alphabet import DNA
from biodata.tokenizers.columns import byte_lengths, letters_of
from biodata.tokenizers.kmer import KmerTokenizer
from biodata.tokenizers.protocol import Encoded, Tokenizer
from biodata.tokenizers.special import UNK

UNKNOWN_LIMIT = 0.01
"""An unknown rate above this is warned about."""

_NUCLEOTIDE_SHARE = 0.99
_NOT_NUCLEOTIDES = frozenset("EFIJLOPQXZ*")
"""Residues (and stop) that are no IUPAC code of a nucleotide."""


@dataclass(slots=True)
class Measure:
    """Sums over encoded columns.

    Attributes:
        rows: sequences read.
        letters: their symbols (bytes; a symbol beyond ASCII counts as several).
        tokens: tokens without `<bos>` and `<eos>`.
        unknown: `<unk>` tokens.
        incomplete: rows that end in letters which no whole k-mer covers, each one `<unk>`.
        counts: how often each byte occurs.
    """

    rows: int = 0
    letters: int = 0
    tokens: int = 0
    unknown: int = 0
    incomplete: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def symbols_per_token(self) -> float:
        """Letters per token, `<bos>` and `<eos>` not counted; 0 without tokens."""
        return self.letters / self.tokens if self.tokens else 0.0

    @property
    def unknown_rate(self) -> float:
        """Share of tokens that are `<unk>`, 0 to 1."""
        return self.unknown / self.tokens if self.tokens else 0.0

    def add(self, tokenizer: Tokenizer, rows: pa.LargeStringArray, encoded: Encoded) -> None:
        """Counts one column, encoded without special tokens.

        Args:
            tokenizer: that encoded the rows.
            rows: the sequences.
            encoded: their ids.
        """
        lengths = byte_lengths(rows)
        self.rows += len(rows)
        self.letters += int(lengths.sum())
        self.tokens += len(encoded.ids)
        self.unknown += int(np.count_nonzero(encoded.ids == UNK))
        self.incomplete += int(np.count_nonzero(_incomplete(tokenizer, lengths)))
        self.counts += np.bincount(np.frombuffer(letters_of(rows), np.uint8), minlength=256)


def measure(tokenizer: Tokenizer, columns: Iterable[pa.LargeStringArray]) -> Measure:
    """Encodes columns and counts.

    >>> from biodata.tokenizers.kmer import codon
    >>> m = measure(codon(), [pa.array(["ATGGC", "ATGNCC"], pa.large_string())])
    >>> m.tokens, m.unknown, m.incomplete, m.symbols_per_token
    (4, 2, 1, 2.75)
    """
    total = Measure()
    for rows in columns:
        total.add(tokenizer, rows, tokenizer.encode_column(rows, add_special_tokens=False))
    return total


def _incomplete(tokenizer: Tokenizer, lengths: np.ndarray) -> np.ndarray:
    if not isinstance(tokenizer, KmerTokenizer):
        return np.zeros(len(lengths), bool)
    k, stride = tokenizer.k, tokenizer.stride
    return (lengths > 0) & np.where(lengths < k, True, (lengths - k) % stride > 0)


def warnings_of(tokenizer: Tokenizer, measured: Measure) -> list[str]:
    """One line for each thing that looks wrong; empty if nothing does."""
    found = []
    if measured.unknown_rate > UNKNOWN_LIMIT:
        rate = (
            f"{measured.unknown_rate:.2%} of tokens are <unk> ({measured.unknown:,} of {measured.tokens:,})"
        )
        found.append(f"{rate}; likely cause: {_cause(tokenizer, measured)}")
    if tokenizer.alphabet == "protein" and _share(measured, "ACGTUN") > _NUCLEOTIDE_SHARE:
        found.append(
            f"wrong alphabet: {_share(measured, 'ACGTUN'):.1%} of the letters are nucleotides, "
            f"but kind {tokenizer.kind!r} reads amino acids"
        )
    return found


def _share(measured: Measure, letters: str) -> float:
    return sum(_by_letter(measured).get(letter, 0) for letter in letters) / max(measured.letters, 1)


def _by_letter(measured: Measure) -> dict[str, int]:
    counts: dict[str, int] = {}
    for byte in np.flatnonzero(measured.counts).tolist():
        letter = chr(byte).upper() if byte < 128 else "non-ASCII"
        counts[letter] = counts.get(letter, 0) + int(measured.counts[byte])
    return counts


def _cause(tokenizer: Tokenizer, measured: Measure) -> str:
    known = tokenizer.letters + ("U" if tokenizer.alphabet == "dna" else "")
    foreign = {s: n for s, n in _by_letter(measured).items() if s not in known}
    if isinstance(tokenizer, KmerTokenizer) and 2 * measured.incomplete >= measured.unknown:
        return (
            f"{measured.incomplete:,} of {measured.rows:,} sequences end in an incomplete {tokenizer.k}-mer: "
            f"are they whole coding sequences, or already cut into pieces of another length?"
        )
    spaces = sum(n for s, n in foreign.items() if s.isspace())
    residues = sum(n for s, n in foreign.items() if s in _NOT_NUCLEOTIDES)
    codes = sum(n for s, n in foreign.items() if s in DNA.ambiguous)
    share = _listed(foreign, measured.letters)
    dna = tokenizer.alphabet == "dna"
    if 2 * spaces >= sum(foreign.values()):
        return f"spaces inside the sequences ({share}): this tokenizer splits by itself, remove them"
    if dna and 10 * residues >= sum(foreign.values()):
        return f"wrong alphabet: amino acids in a nucleotide tokenizer ({share}); use kind 'aa'"
    if dna and 2 * codes >= sum(foreign.values()):
        return f"N and other IUPAC codes ({share}): drop or cut sequences that hold them"
    return f"symbols that are no {'nucleotides' if dna else 'amino acids'} ({share})"


def _listed(foreign: dict[str, int], letters: int, *, most: int = 5) -> str:
    ranked = sorted(foreign.items(), key=lambda item: (-item[1], item[0]))[:most]
    return ", ".join(f"{s!r} {n / letters:.2%} of letters" for s, n in ranked)
