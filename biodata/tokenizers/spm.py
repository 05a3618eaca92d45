"""Learning with `sentencepiece`: one thread, so that equal pieces give equal bytes on any machine."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

from biodata.errors import DataError
from biodata.progress import progress
from biodata.tokenizers.special import BOS, EOS, PAD, SPECIAL_TOKENS, UNK
from biodata.tokenizers.subword import LETTERS, check_size

LONGEST_PIECE = 16
"""Letters of the longest token, the default of `sentencepiece`."""

_SENTENCE_BYTES = 1 << 17


class Learnt(NamedTuple):
    """A model of `sentencepiece`: its file, and its pieces with scores by id."""

    model: bytes
    pieces: list[tuple[str, float]]


def learn(
    pieces: Iterable[str], *, method: str, alphabet: str, vocab_size: int, options: dict[str, Any]
) -> Learnt:
    """Trains a model whose special ids are those of every tokenizer here.

    The model reads lower case as upper case and U as T by rules that it carries, adds no space in front and
    keeps all symbols; `<mask>` and `<sep>` written out are read as such.

    Args:
        pieces: pieces of sequences that hold letters of the alphabet only.
        method: `bpe` or `unigram`.
        alphabet: `dna` or `protein`.
        vocab_size: most tokens; little data gives fewer.
        options: more options of `SentencePieceTrainer`.

    Raises:
        ConfigError: a vocabulary smaller than special tokens and letters.
        DataError: no pieces, or `sentencepiece` refuses them.
    """
    check_size(vocab_size, alphabet)
    import sentencepiece

    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, progress(f"learning {vocab_size} tokens"):
        rules = Path(folder) / "rules.tsv"
        rules.write_text(_rules(alphabet), encoding="ascii")
        try:
            sentencepiece.SentencePieceTrainer.train(
                # the letters alone, too: a letter that the data lacks has a token all the same
                sentence_iterator=chain(pieces, LETTERS[alphabet]), model_writer=out, model_type=method,
                vocab_size=vocab_size, normalization_rule_tsv=str(rules),
                **_FIXED, **options,
            )  # fmt: skip
        except RuntimeError as error:
            raise DataError(f"sentencepiece cannot learn from these sequences: {error}") from error
    return read_pieces(_without_rule_file(out.getvalue()))


def read_pieces(model: bytes) -> Learnt:
    """The pieces of a serialised model.

    Raises:
        DataError: `sentencepiece` cannot read it.
    """
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise DataError(f"no sentencepiece model: {error}") from error
    every = range(processor.get_piece_size())
    return Learnt(model, [(processor.id_to_piece(i), processor.get_score(i)) for i in every])


_NORMALIZER, _RULE_FILE = 3, 6
"""Field numbers of `sentencepiece_model.proto`: the normalizer, and in it the file of its rules."""


def _without_rule_file(model: bytes) -> bytes:
    """The model without the name of the temporary file that its rules came from; it carries them compiled."""
    kept = []
    for number, head, value in _fields(model):
        if number == _NORMALIZER:
            value = b"".join(h + v for n, h, v in _fields(value) if n != _RULE_FILE)
            head = _varint(number << 3 | 2) + _varint(len(value))
        kept.append(head + value)
    return b"".join(kept)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Fields of a serialised protobuf message: number, key (and length), value."""
    sizes = {1: 8, 5: 4}
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        if key & 7 == 0:
            end = _read_varint(message, at)[1]
        elif key & 7 == 2:
            size, at = _read_varint(message, at)
            end = at + size
        else:
            end = at + sizes[key & 7]
        yield key >> 3, message[start:at], message[at:end]
        at = end


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _rules(alphabet: str) -> str:
    """Normalisation rules: code points of what is read, tab, what it is read as."""
    pairs = [(letter, letter.upper()) for letter in ascii_lowercase]
    if alphabet == "dna":
        pairs = [(old, new) for old, new in pairs if new in "ACGTN"] + [("u", "T"), ("U", "T")]
    return "".join(f"{ord(old):X}\t{ord(new):X}\n" for old, new in pairs)


_FIXED: dict[str, Any] = {
    "pad_id": PAD, "bos_id": BOS, "eos_id": EOS, "unk_id": UNK,
    "pad_piece": SPECIAL_TOKENS[PAD], "bos_piece": SPECIAL_TOKENS[BOS],
    "eos_piece": SPECIAL_TOKENS[EOS], "unk_piece": SPECIAL_TOKENS[UNK],
    "user_defined_symbols": list(SPECIAL_TOKENS[UNK + 1 :]),
    "add_dummy_prefix": False, "remove_extra_whitespaces": False, "split_by_whitespace": False,
    "split_by_unicode_script": False, "split_by_number": False, "character_coverage": 1.0,
    "max_sentencepiece_length": LONGEST_PIECE, "max_sentence_length": _SENTENCE_BYTES,
    "num_threads": 1, "hard_vocab_limit": False, "minloglevel": 2,
}  # fmt: skip
