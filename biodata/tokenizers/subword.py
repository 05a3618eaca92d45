"""What the kinds that learn pieces share: their alphabets, the text they learn from, the class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, pre_tokenizers

from biodata.alphabet import PROTEIN
from biodata.errors import ConfigError, DataError
from biodata.tokenizers.corpus import Corpus, Sample
from biodata.tokenizers.encoding import ByPortable
from biodata.tokenizers.portable import (
    normalizer,
    save_folder,
    tokens_by_id,
    with_special_tokens,
)
from biodata.tokenizers.special import SPECIAL_TOKENS

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

LETTERS: Mapping[str, str] = {"dna": "ACGT", "protein": PROTEIN.letters}
"""The letters that every vocabulary has, by alphabet."""


class SubwordTokenizer(ByPortable):
    """A tokenizer that is what its `tokenizer.json` does: pieces of sequences that were learnt from data.

    Lower case is read as upper case and, in nucleotides, U as T. Every letter of the alphabet has a token
    (A, C, G, T; or all residues, ambiguity codes and `*`), whether the data had it or not; any other
    symbol, N among nucleotides included, is `<unk>` and ends a piece. A special token written out in the
    text is that token.

    Args:
        kind: name in the catalog.
        alphabet: `dna` or `protein`.
        portable: model, normalizer and pre-tokenizer; special tokens are declared here.

    Raises:
        DataError: a vocabulary without a special token at its id or without a letter of the alphabet.
    """

    def __init__(self, kind: str, alphabet: str, portable: Tokenizer) -> None:
        self.kind = kind
        self.alphabet = alphabet
        self.letters = LETTERS[alphabet]
        self.portable = with_special_tokens(portable, SPECIAL_TOKENS)
        self.tokens = tokens_by_id(portable.get_vocab())
        check_tokens(kind, alphabet, self.tokens)

    def save(self, path: Path) -> None:
        """Writes the folder (see `Tokenizer`)."""
        save_folder(path, self.portable, {"kind": self.kind, "alphabet": self.alphabet})


def check_tokens(kind: str, alphabet: str, tokens: tuple[str, ...]) -> None:
    """Refuses a vocabulary whose first ids are not the special tokens, or that lacks a letter.

    Args:
        kind: of the tokenizer, for the message.
        alphabet: dna, rna or protein.
        tokens: the vocabulary, by id.

    Raises:
        DataError: naming the first thing that is missing.
    """
    if tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
        raise DataError(f"ids 0 to 5 of a {kind} vocabulary are not {' '.join(SPECIAL_TOKENS)}")
    missing = sorted(set(LETTERS[alphabet]).difference(tokens))
    if missing:
        raise DataError(f"a {alphabet} {kind} vocabulary needs {missing[0]!r}, which it does not have")


def sequence_parts(portable: Tokenizer, alphabet: str, *, longest: int = 0) -> Tokenizer:
    """Makes a tokenizer read case and U as all others do, and keeps each unknown symbol apart.

    Args:
        portable: a tokenizer with its model.
        alphabet: `dna` or `protein`.
        longest: most letters that the model gets at once; 0: as many as stand together.
    """
    known = "[" + re.escape(LETTERS[alphabet]) + "]" + (f"{{1,{longest}}}" if longest else "+")
    portable.normalizer = normalizer(alphabet)
    portable.pre_tokenizer = pre_tokenizers.Split(Regex(known + r"|[\s\S]"), behavior="isolated")
    return portable


def alphabet_of(config: TokenizerConfig, corpus: Corpus) -> str:
    """`dna` or `protein`, as the configuration or else the dataset says.

    Raises:
        ConfigError: neither says it, or it is another one.
    """
    alphabet = config.alphabet or corpus.alphabet()
    if alphabet is None or alphabet not in LETTERS:
        found = (
            f"the dataset's alphabet is {alphabet!r}"
            if alphabet
            else f"{config.data} does not say its alphabet"
        )
        raise ConfigError(f"{found}: give alphabet = dna or protein")
    return alphabet


def check_size(vocab_size: int, alphabet: str) -> None:
    """Refuses a vocabulary smaller than special tokens and letters.

    Raises:
        ConfigError: quoting the size.
    """
    smallest = len(SPECIAL_TOKENS) + len(LETTERS[alphabet])
    if vocab_size < smallest:
        raise ConfigError(
            f"vocab_size = {vocab_size}, allowed: {smallest} or more (6 special, the {alphabet} letters)"
        )


def known_pieces(config: TokenizerConfig, corpus: Corpus, alphabet: str) -> Iterator[str]:
    """The sampled pieces of the training sequences, upper case, cut where a letter is not of the alphabet.

    Args:
        config: how much of the corpus is sampled, and its seed.
        corpus: the training sequences.
        alphabet: dna (U is read as T), rna or protein.
    """
    runs = re.compile(b"[" + re.escape(LETTERS[alphabet]).encode() + b"]+")
    for piece in Sample.of(config).pieces(corpus):
        upper = piece.upper()
        for run in runs.findall(upper.replace(b"U", b"T") if alphabet == "dna" else upper):
            yield run.decode("ascii")


def saved_alphabet(path: Path, fields: Mapping[str, Any]) -> str:
    """The alphabet that a saved folder names.

    Raises:
        DataError: it names none that is known.
    """
    alphabet = fields.get("alphabet")
    if not isinstance(alphabet, str) or alphabet not in LETTERS:
        where = path / "tokenizer_config.json"
        raise DataError(f"alphabet {alphabet!r}", where=where, hint="allowed: dna, protein")
    return alphabet
