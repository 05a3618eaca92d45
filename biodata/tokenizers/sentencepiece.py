"""SentencePiece BPE: a `spiece.model` for `sentencepiece`, and a `tokenizer.json` with the same ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models

from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path
from biodata.tokenizers.corpus import Corpus
from biodata.tokenizers.kinds import Kind
from biodata.tokenizers.portable import normalizer
from biodata.tokenizers.special import SPECIAL_TOKENS, UNK
from biodata.tokenizers.spm import Learnt, learn, read_pieces
from biodata.tokenizers.subword import SubwordTokenizer, alphabet_of, known_pieces, saved_alphabet

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

DEFAULT_SIZE = 128
MODEL_FILE = "spiece.model"


class SentencePieceTokenizer(SubwordTokenizer):
    """Byte-pair encoding by `sentencepiece` (Kudo and Richardson 2018, doi:10.18653/v1/D18-2012).

    As `SubwordTokenizer`, but unknown symbols that stand together are one `<unk>`, as `sentencepiece` has it.
    `spiece.model` gives the same ids, without `<bos>` and `<eos>` unless asked for; of special tokens written
    out in the text it reads `<mask>` and `<sep>` only, the others are text to it.

    Args:
        learnt: the model and its pieces.
        alphabet: `dna` or `protein`.
    """

    def __init__(self, learnt: Learnt, *, alphabet: str) -> None:
        self.model = learnt.model
        portable = Tokenizer(_portable_model(learnt.pieces))
        portable.normalizer = normalizer(alphabet)
        super().__init__("sentencepiece", alphabet, portable)

    def save(self, path: Path) -> None:
        """Writes `spiece.model`, then the folder (see `Tokenizer`)."""
        with atomic_path(Path(path) / MODEL_FILE) as part:
            part.write_bytes(self.model)
        super().save(path)


def _portable_model(pieces: list[tuple[str, float]]) -> models.BPE:
    """The same merges for `tokenizers`.

    `sentencepiece` joins the two neighbours whose union has the best score, wherever it was cut while
    learning, so that every way to cut a piece in two is a merge of its rank.
    """
    vocabulary = {piece: index for index, (piece, _) in enumerate(pieces)}
    rank = {p: index for index, (p, _) in enumerate(pieces) if index >= len(SPECIAL_TOKENS)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in rank
        for cut in range(1, len(piece))
        if piece[:cut] in rank and piece[cut:] in rank
    ]
    return models.BPE(vocabulary, merges, unk_token=SPECIAL_TOKENS[UNK], fuse_unk=True)


def train_sentencepiece(
    pieces: Iterable[str], *, alphabet: str, vocab_size: int = DEFAULT_SIZE
) -> SentencePieceTokenizer:
    """Learns merges from pieces of sequences that hold letters of the alphabet only.

    Ids: special tokens 0 to 5, merges in the order learnt, then the letters by frequency.

    Args:
        pieces: upper-case text, read once.
        alphabet: dna, rna or protein.
        vocab_size: tokens in all, special tokens and letters included.

    Raises:
        ConfigError: a vocabulary smaller than special tokens and letters, or larger than the data can give.
        DataError: no pieces.
    """
    learnt = learn(pieces, method="bpe", alphabet=alphabet, vocab_size=vocab_size, options={})
    return SentencePieceTokenizer(learnt, alphabet=alphabet)


def _make(config: TokenizerConfig, corpus: Corpus) -> SentencePieceTokenizer:
    alphabet = alphabet_of(config, corpus)
    size = config.vocab_size or DEFAULT_SIZE
    return train_sentencepiece(known_pieces(config, corpus, alphabet), alphabet=alphabet, vocab_size=size)


def _load(path: Path, fields: Mapping[str, Any]) -> SentencePieceTokenizer:
    file = path / MODEL_FILE
    if not file.is_file():
        raise ConfigError(f"{file} does not exist, but tokenizer_config.json says kind 'sentencepiece'")
    try:
        learnt = read_pieces(file.read_bytes())
    except DataError as error:
        raise DataError(str(error), where=file) from error
    return SentencePieceTokenizer(learnt, alphabet=saved_alphabet(path, fields))


SENTENCEPIECE = Kind(make=_make, load=_load, learns=True)
