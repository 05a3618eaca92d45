"""Byte-pair encoding learnt from data, through `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models, trainers

from biodata.errors import DataError
from biodata.progress import progress
from biodata.tokenizers.corpus import Corpus
from biodata.tokenizers.encoding import ByPortable
from biodata.tokenizers.kinds import Kind
from biodata.tokenizers.merges import MOST_TOKENS, learn_merges
from biodata.tokenizers.portable import (
    merges_of,
    normalizer,
    read_model,
    save_folder,
    tokens_by_id,
    with_special_tokens,
)
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK
from biodata.tokenizers.subword import LETTERS, alphabet_of, check_size, known_pieces, saved_alphabet

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

DEFAULT_SIZE = 4096


class BpeTokenizer(ByPortable):
    """Pieces of sequences by byte-pair encoding (Sennrich et al. 2016, doi:10.18653/v1/P16-1162).

    Lower case is read as upper case and, in nucleotides, U as T. Every letter of the alphabet has a
    token (A, C, G, T; or all residues, ambiguity codes and `*`), whether the data had it or not; any
    other symbol, N among nucleotides included, is one `<unk>` and ends a piece. Sequences are
    encoded whole, however long; they are cut only while learning (see `Sample`). A special token
    written out in the text is that token.

    Args:
        tokens: all tokens by id: special ones, letters, merges.
        merges: pairs of tokens in the order learnt.
        alphabet: `dna` or `protein`.

    Raises:
        DataError: a letter without a token, or a merge of or into something that is no token.
    """

    kind = "bpe"

    def __init__(self, tokens: tuple[str, ...], merges: Sequence[tuple[str, str]], *, alphabet: str) -> None:
        self.alphabet = alphabet
        self.letters = LETTERS[alphabet]
        self.tokens = tokens
        vocabulary = {token: index for index, token in enumerate(tokens)}
        merged = {part for pair in merges for part in (*pair, "".join(pair))}
        missing = sorted({*SPECIAL_TOKENS, *self.letters, *merged}.difference(vocabulary))
        if missing:
            raise DataError(f"a {alphabet} bpe vocabulary needs {missing[0]!r}, which it does not have")
        model = models.BPE(vocabulary, list(merges), unk_token=SPECIAL_TOKENS[UNK], fuse_unk=False)
        portable = Tokenizer(model)
        portable.normalizer = normalizer(alphabet)
        self.portable = with_special_tokens(portable, SPECIAL_TOKENS)

    def save(self, path: Path) -> None:
        """Writes the folder (see `Tokenizer`)."""
        save_folder(path, self.portable, {"kind": self.kind, "alphabet": self.alphabet})


def train_bpe(pieces: Iterable[str], *, alphabet: str, vocab_size: int = DEFAULT_SIZE) -> BpeTokenizer:
    """Learns merges from pieces of sequences that hold letters of the alphabet only.

    Equal pieces give equal merges, whatever the number of threads. Ids: special tokens 0 to 5, the letters
    alphabetically, then merges in the order learnt. Little data gives fewer tokens than asked for.

    Args:
        pieces: upper-case text, read once.
        alphabet: dna, rna or protein.
        vocab_size: tokens in all, special tokens and letters included.

    Raises:
        ConfigError: a vocabulary smaller than special tokens and letters.

    >>> t = train_bpe(["ATGATGATG"], alphabet="dna", vocab_size=12)
    >>> t.tokens[6:], t.decode(t.encode("atgaug"))
    (('A', 'C', 'G', 'T', 'AT', 'ATG'), 'ATGATG')
    """
    check_size(vocab_size, alphabet)
    letters = "".join(sorted(LETTERS[alphabet]))
    with progress(f"learning {vocab_size} tokens"):
        if vocab_size > MOST_TOKENS:
            return _by_trainer(pieces, alphabet, vocab_size)
        merges = learn_merges(pieces, letters=letters, merges=vocab_size - len(SPECIAL_TOKENS) - len(letters))
    learnt = dict.fromkeys("".join(pair) for pair in merges)
    return BpeTokenizer((*SPECIAL_TOKENS, *letters, *learnt), merges, alphabet=alphabet)


def _by_trainer(pieces: Iterable[str], alphabet: str, vocab_size: int) -> BpeTokenizer:
    """By `tokenizers`, whose memory does not grow with the square of the vocabulary: the same merges."""
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=list(LETTERS[alphabet]),
        show_progress=False,
    )
    learner.train_from_iterator(pieces, trainer)
    model = json.loads(learner.to_str())["model"]
    return _of_model(model, tokens_by_id(model["vocab"]), alphabet)


def _make_bpe(config: TokenizerConfig, corpus: Corpus) -> BpeTokenizer:
    alphabet = alphabet_of(config, corpus)
    pieces = known_pieces(config, corpus, alphabet)
    return train_bpe(pieces, alphabet=alphabet, vocab_size=config.vocab_size or DEFAULT_SIZE)


def _load_bpe(path: Path, fields: Mapping[str, Any]) -> BpeTokenizer:
    alphabet = saved_alphabet(path, fields)
    file = path / "tokenizer.json"
    model, tokens = read_model(file)
    return _of_model(model, tokens, alphabet)


def _of_model(model: Mapping[str, Any], tokens: tuple[str, ...], alphabet: str) -> BpeTokenizer:
    return BpeTokenizer(tokens, merges_of(model), alphabet=alphabet)


BPE = Kind(make=_make_bpe, load=_load_bpe, learns=True)
