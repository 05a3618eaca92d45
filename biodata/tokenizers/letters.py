"""One token per letter: nucleotides and amino acids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from biodata.alphabet import PROTEIN
from biodata.tokenizers.columns import has_special_text, lay_out, one_byte_letters
from biodata.tokenizers.encoding import InColumns
from biodata.tokenizers.kinds import fixed_kind
from biodata.tokenizers.portable import encode_portably, portable_table, save_folder
from biodata.tokenizers.protocol import Encoded
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK


class LetterTokenizer(InColumns):
    """A token for each letter of an alphabet.

    Lower case is read as upper case. In nucleotides U is read as T, so `decode` writes T; N has its own
    token, the other IUPAC codes are `<unk>`. In proteins all 22 residues, the ambiguity codes B, Z, J, X
    and the stop `*` have tokens. Any other symbol is one `<unk>`. A special token written out
    in the text (`AC<mask>GT`) is that token.

    Args:
        kind: name in the catalog.
        tokens: all tokens by id, the special ones first; names in angle brackets are never letters.
        alphabet: `dna` or `protein`.

    >>> tokenizer = nuc()
    >>> tokenizer.encode("acgUN-"), tokenizer.decode([1, 6, 7, 8, 9, 2])
    ([1, 6, 7, 8, 9, 10, 3, 2], 'ACGT')
    """

    def __init__(self, kind: str, tokens: tuple[str, ...], *, alphabet: str) -> None:
        self.kind = kind
        self.alphabet = alphabet
        self.tokens = tokens
        self.letters = "".join(t for t in tokens if len(t) == 1)
        self.portable = portable_table(tokens, alphabet=alphabet, width=1)
        self._table = _byte_table(tokens, rna=alphabet == "dna")

    def encode_chunk(self, rows: pa.LargeStringArray, *, special: bool) -> Encoded:
        """Ids of a part of a column."""
        if has_special_text(rows):
            return encode_portably(self.portable, rows, special=special)
        layout = lay_out(one_byte_letters(rows), special=special)
        return layout.finish(np.frombuffer(bytearray(layout.letters.translate(self._table)), np.uint8))

    def save(self, path: Path) -> None:
        """Writes the folder (see `Tokenizer`)."""
        save_folder(path, self.portable, {"kind": self.kind})


def _byte_table(tokens: tuple[str, ...], *, rna: bool) -> bytes:
    table = bytearray([UNK] * 256)
    for index, token in enumerate(tokens):
        if len(token) == 1:
            table[ord(token)] = table[ord(token.lower())] = index
    if rna:
        table[ord("U")] = table[ord("u")] = table[ord("T")]
    return bytes(table)


def nuc() -> LetterTokenizer:
    """Nucleotides A, C, G, T, N at ids 6 to 10: 11 tokens."""
    return LetterTokenizer("nuc", (*SPECIAL_TOKENS, *"ACGTN"), alphabet="dna")


def nuc16() -> LetterTokenizer:
    """Nucleotides A 7, T 8, C 9, G 10, N 11 of 16 tokens; ids 6 and 12 to 15 are reserved.

    >>> nuc16().encode("ATCGN", add_special_tokens=False)
    [7, 8, 9, 10, 11]
    """
    reserved = tuple(f"<reserved_{i}>" for i in range(12, 16))
    tokens = (*SPECIAL_TOKENS, "<reserved_6>", *"ATCGN", *reserved)
    return LetterTokenizer("nuc16", tokens, alphabet="dna")


def aa() -> LetterTokenizer:
    """Amino acids at ids 6 to 32: the 20 standard ones alphabetically, then U, O, B, Z, J, X and `*`.

    >>> aa().vocab_size, aa().tokens[6:9], aa().tokens[-7:]
    (33, ('A', 'C', 'D'), ('U', 'O', 'B', 'Z', 'J', 'X', '*'))
    """
    return LetterTokenizer("aa", (*SPECIAL_TOKENS, *PROTEIN.letters), alphabet="protein")


NUC = fixed_kind(nuc)
NUC16 = fixed_kind(nuc16)
AA = fixed_kind(aa)
