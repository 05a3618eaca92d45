"""Unigram language model over pieces of sequences, learnt by `sentencepiece`, read by `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models

from biodata.errors import DataError
from biodata.tokenizers.corpus import Corpus
from biodata.tokenizers.kinds import Kind
from biodata.tokenizers.portable import read_json_file
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK
from biodata.tokenizers.spm import learn
from biodata.tokenizers.subword import (
    SubwordTokenizer,
    alphabet_of,
    known_pieces,
    saved_alphabet,
    sequence_parts,
)

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

DEFAULT_SIZE = 4096
_SEEDS_PER_TOKEN = 5


def train_unigram(
    pieces: Iterable[str], *, alphabet: str, vocab_size: int = DEFAULT_SIZE
) -> SubwordTokenizer:
    """Learns pieces and their probabilities (Kudo 2018, doi:10.18653/v1/P18-1007).

    A sequence is cut into the pieces whose product of probabilities is highest. Expectation-maximisation
    starts from the most frequent substrings, `_SEEDS_PER_TOKEN` for each token asked for (the million that
    `sentencepiece` takes otherwise makes learning several times slower on DNA), and runs on one thread: the
    trainer of `tokenizers` adds in an order that depends on the number of threads.

    Args:
        pieces: upper-case text, read once.
        alphabet: dna, rna or protein.
        vocab_size: tokens in all, special tokens and letters included.

    Raises:
        ConfigError: a vocabulary smaller than special tokens and letters.
        DataError: no pieces.
    """
    options = {"seed_sentencepiece_size": _SEEDS_PER_TOKEN * vocab_size}
    learnt = learn(pieces, method="unigram", alphabet=alphabet, vocab_size=vocab_size, options=options)
    return _of_pieces(learnt.pieces, alphabet)


def _of_pieces(pieces: list[tuple[str, float]], alphabet: str) -> SubwordTokenizer:
    # A special token is never a piece of a sequence: `sentencepiece` gives `<mask>` and `<sep>` scores that
    # would make them the best of all pieces.
    scored = [(p, 0.0 if i < len(SPECIAL_TOKENS) else score) for i, (p, score) in enumerate(pieces)]
    model = models.Unigram(scored, UNK, False)
    return SubwordTokenizer("unigram", alphabet, sequence_parts(Tokenizer(model), alphabet))


def _make(config: TokenizerConfig, corpus: Corpus) -> SubwordTokenizer:
    alphabet = alphabet_of(config, corpus)
    size = config.vocab_size or DEFAULT_SIZE
    return train_unigram(known_pieces(config, corpus, alphabet), alphabet=alphabet, vocab_size=size)


def _load(path: Path, fields: Mapping[str, Any]) -> SubwordTokenizer:
    alphabet = saved_alphabet(path, fields)
    file = path / "tokenizer.json"
    content = read_json_file(file)
    model = content.get("model") if isinstance(content, dict) else None
    pieces = model.get("vocab") if isinstance(model, dict) and model.get("type") == "Unigram" else None
    if not isinstance(pieces, list) or not all(_is_piece(piece) for piece in pieces):
        raise DataError("no pieces with scores: this is not a unigram tokenizer", where=file)
    return _of_pieces([(piece, float(score)) for piece, score in pieces], alphabet)


def _is_piece(piece: Any) -> bool:
    return (
        isinstance(piece, list)
        and len(piece) == 2
        and isinstance(piece[0], str)
        and isinstance(piece[1], (int, float))
    )


UNIGRAM = Kind(make=_make, load=_load, learns=True)
