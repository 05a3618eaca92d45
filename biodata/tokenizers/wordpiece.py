"""WordPiece: merges learnt from data, the longest piece first when encoding, through `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models, trainers

from biodata.errors import DataError
from biodata.progress import progress
from biodata.tokenizers.corpus import Corpus
from biodata.tokenizers.kinds import Kind
from biodata.tokenizers.portable import read_model
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK
from biodata.tokenizers.subword import (
    LETTERS,
    SubwordTokenizer,
    alphabet_of,
    check_size,
    known_pieces,
    saved_alphabet,
    sequence_parts,
)

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

DEFAULT_SIZE = 4096
WORD_LETTERS = 96
"""Letters the model gets at once, whole codons: looking for the longest piece is quadratic in them."""


def train_wordpiece(
    pieces: Iterable[str], *, alphabet: str, vocab_size: int = DEFAULT_SIZE
) -> SubwordTokenizer:
    """Learns a vocabulary from pieces of sequences that hold letters of the alphabet only.

    Encoding takes the longest token that fits, again and again (MaxMatch; Devlin et al. 2019,
    arXiv:1810.04805). The vocabulary is learnt by frequent pairs, as `tokenizers` does it, not by the
    likelihood of Schuster and Nakajima 2012 (doi:10.1109/ICASSP.2012.6289079). A sequence has no words, so
    that no token starts with `##`; sequences are read in words of `WORD_LETTERS` letters.

    Args:
        pieces: upper-case text, read once.
        alphabet: dna, rna or protein.
        vocab_size: tokens in all, special tokens and letters included.

    Raises:
        ConfigError: a vocabulary smaller than special tokens and letters.

    >>> t = train_wordpiece(["ATGATGATG"], alphabet="dna", vocab_size=12)
    >>> t.tokens[6:], t.encode("ATGauNG", add_special_tokens=False)
    (('A', 'C', 'G', 'T', 'AT', 'ATG'), [11, 10, 3, 8])
    """
    check_size(vocab_size, alphabet)
    learner = Tokenizer(models.WordPiece())
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=list(LETTERS[alphabet]),
        continuing_subword_prefix="",
        show_progress=False,
    )
    with progress(f"learning {vocab_size} tokens"):
        learner.train_from_iterator(pieces, trainer)
    return _of_vocabulary(learner.get_vocab(), alphabet)


def _of_vocabulary(vocabulary: Mapping[str, int], alphabet: str) -> SubwordTokenizer:
    model = models.WordPiece(
        dict(vocabulary),
        unk_token=SPECIAL_TOKENS[UNK],
        max_input_chars_per_word=WORD_LETTERS,
        continuing_subword_prefix="",
    )
    portable = sequence_parts(Tokenizer(model), alphabet, longest=WORD_LETTERS)
    return SubwordTokenizer("wordpiece", alphabet, portable)


def _make(config: TokenizerConfig, corpus: Corpus) -> SubwordTokenizer:
    alphabet = alphabet_of(config, corpus)
    size = config.vocab_size or DEFAULT_SIZE
    return train_wordpiece(known_pieces(config, corpus, alphabet), alphabet=alphabet, vocab_size=size)


def _load(path: Path, fields: Mapping[str, Any]) -> SubwordTokenizer:
    alphabet = saved_alphabet(path, fields)
    model, tokens = read_model(path / "tokenizer.json")
    if model.get("type") != "WordPiece":
        raise DataError("this is not a wordpiece tokenizer", where=path / "tokenizer.json")
    return _of_vocabulary({token: index for index, token in enumerate(tokens)}, alphabet)


WORDPIECE = Kind(make=_make, load=_load, learns=True)
