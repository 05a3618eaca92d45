"""Tables of k-mers: codons, 6-mers and any other k, overlapping or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biodata.codon import CODONS
from biodata.errors import ConfigError, DataError
from biodata.tokenizers.columns import Layout, has_special_text, lay_out, one_byte_letters
from biodata.tokenizers.encoding import InColumns
from biodata.tokenizers.kinds import Kind, check_fixed, fixed_kind
from biodata.tokenizers.overlap import portable_spaced, save_spaced_folder, unspaced
from biodata.tokenizers.portable import encode_portably, portable_table, save_folder
from biodata.tokenizers.protocol import Encoded, id_type
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig
    from biodata.tokenizers.corpus import Corpus

MAX_K = 10
_INVALID = 0x80
_LETTERS_PER_BYTE = 4


class KmerTokenizer(InColumns):
    """All k-mers of A, C, G, T in alphabetical order from id 6.

    Reading starts at the first letter. Lower case is read as upper case and U as T, so `decode` writes T. A
    k-mer that holds N, another IUPAC code or any other symbol is one `<unk>`. Letters at the end that
    no whole k-mer covers (one or two after the last codon) are together one `<unk>`: nothing is lost
    silently, and it counts in the unknown rate. A special token written out in the text
    (`ATG<mask>AAA`) is that token, unless k-mers overlap: then it is text like any other.

    Args:
        kind: name in the catalog.
        k: letters per token, 1 to 10.
        overlap: letters that neighbouring tokens share, 0 to k - 1; the stride is `k - overlap`.

    Raises:
        ConfigError: `k` or `overlap` out of range.

    >>> tokenizer = codon()
    >>> tokenizer.encode("ATGgcuNNNTA"), tokenizer.decode([1, 20, 45, 3, 2])
    ([1, 20, 45, 3, 3, 2], 'ATGGCT')
    >>> pairs = KmerTokenizer("kmer", 2, overlap=1)
    >>> pairs.decode(pairs.encode("ACGT"))
    'ACGT'
    """

    alphabet = "dna"
    letters = "ACGT"

    def __init__(self, kind: str, k: int, *, overlap: int = 0) -> None:
        if not 1 <= k <= MAX_K:
            raise ConfigError(f"k = {k}, allowed: 1 to {MAX_K} (the table has 4^k tokens)")
        if not 0 <= overlap < k:
            raise ConfigError(f"overlap = {overlap}, allowed: 0 to k - 1 = {k - 1}")
        self.kind = kind
        self.k = k
        self.overlap = overlap
        self.stride = k - overlap
        words = CODONS if k == 3 else tuple("".join(p) for p in product(self.letters, repeat=k))
        self.tokens = (*SPECIAL_TOKENS, *words)
        self.portable = (
            portable_spaced(self.tokens)
            if overlap
            else portable_table(self.tokens, alphabet=self.alphabet, width=k)
        )

    def encode_chunk(self, rows: pa.LargeStringArray, *, special: bool) -> Encoded:
        """Ids of a part of a column."""
        if not self.overlap and has_special_text(rows):
            return encode_portably(self.portable, rows, special=special)
        layout = lay_out(one_byte_letters(rows), k=self.k, stride=self.stride, special=special)
        return layout.finish(self._windows(layout))

    def _windows(self, layout: Layout) -> np.ndarray:
        """Id of the k-mer at each slot; those that reach over a row's end are replaced or dropped later."""
        text = layout.letters.translate(_CODES)
        codes = np.frombuffer(text + bytes(self.k), np.uint8)
        stop = self.stride * (layout.slots - 1) + 1 if layout.slots else 0
        letters = [codes[j : j + stop : self.stride] for j in range(self.k)]
        ids = _number(letters, id_type(self.vocab_size))
        ids += len(SPECIAL_TOKENS)
        if _INVALID in text:
            invalid = letters[0].copy()
            for letter in letters[1:]:
                invalid |= letter
            ids[invalid >= _INVALID] = UNK
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The letters of ids, special tokens left out.

        Of overlapping k-mers the first is written whole and each further one adds its last `stride`
        letters; a special token, `<unk>` among them, breaks the chain: the next k-mer is whole again.
        """
        if self.overlap:
            return unspaced(self.tokens, ids, stride=self.stride)
        return super().decode(ids)

    def save(self, path: Path) -> None:
        """Writes the folder (see `Tokenizer`)."""
        fields = {"kind": self.kind, "k": self.k, "overlap": self.overlap}
        if self.overlap:
            save_spaced_folder(path, self.portable, fields)
        else:
            save_folder(path, self.portable, fields)


def _number(letters: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """The k-mers as base-4 numbers, four letters at a time in bytes, which is several times faster."""
    total: np.ndarray | None = None
    for start in range(0, len(letters), _LETTERS_PER_BYTE):
        group = letters[start : start + _LETTERS_PER_BYTE]
        packed = group[0].copy()
        for letter in group[1:]:
            packed <<= 2
            packed |= letter
        if total is None:
            total = packed.astype(dtype)
        else:
            total <<= 2 * len(group)
            total |= packed
    assert total is not None
    return total


def _letter_codes() -> bytes:
    codes = bytearray([_INVALID] * 256)
    for number, letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):
        for letter in letters:
            codes[ord(letter)] = number
    return bytes(codes)


_CODES = _letter_codes()


def codon() -> KmerTokenizer:
    """Codons at ids 6 to 69: 70 tokens."""
    return KmerTokenizer("codon", 3)


def six_mer() -> KmerTokenizer:
    """6-mers that do not overlap: 4102 tokens."""
    return KmerTokenizer("6mer", 6)


def _make_kmer(config: TokenizerConfig, corpus: Corpus) -> KmerTokenizer:
    k = 6 if config.k is None else config.k
    return check_fixed(KmerTokenizer("kmer", k, overlap=config.overlap or 0), config)


def _load_kmer(path: Path, fields: Mapping[str, Any]) -> KmerTokenizer:
    k, overlap = fields.get("k"), fields.get("overlap")
    if not isinstance(k, int) or not isinstance(overlap, int):
        where = path / "tokenizer_config.json"
        raise DataError(f"k = {k!r} and overlap = {overlap!r}", where=where, hint="two numbers are needed")
    return KmerTokenizer("kmer", k, overlap=overlap)


CODON = fixed_kind(codon)
SIX_MER = fixed_kind(six_mer)
KMER = Kind(make=_make_kmer, load=_load_kmer)
