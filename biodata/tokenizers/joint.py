"""Text and sequences in one vocabulary: `<text>a kinase</text><dna>ATGGCC</dna><protein>MA</protein>`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import ascii_lowercase, digits, punctuation
from typing import TYPE_CHECKING, Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from biodata.alphabet import PROTEIN
from biodata.errors import ConfigError, DataError
from biodata.progress import progress
from biodata.tokenizers.corpus import Corpus
from biodata.tokenizers.encoding import ByPortable
from biodata.tokenizers.kinds import Kind
from biodata.tokenizers.portable import merges_of, read_model, save_folder, tokens_of
from biodata.tokenizers.rows import sampled_texts
from biodata.tokenizers.special import BOS, EOS, SPECIAL_TOKENS, UNK

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

DEFAULT_SIZE = 4096
BOUNDARIES = ("<text>", "</text>", "<dna>", "</dna>", "<protein>", "</protein>")
"""Ids 6 to 11; not special: decoding keeps them."""

DNA_MARK, PROTEIN_MARK = "ᵈ", "ᵖ"
"""Stand before a letter of a sequence, so that its token is no token of text; U+1D48 and U+1D56."""

_BASES, _RESIDUES = "acgtn", PROTEIN.letters.lower()
_LETTERS = {DNA_MARK: _BASES, PROTEIN_MARK: _RESIDUES}
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_FIXED = (
    *SPECIAL_TOKENS,
    *BOUNDARIES,
    *(mark + letter for mark, letters in _LETTERS.items() for letter in letters),
    *_BYTES,
)
_TEXT_LETTERS = tuple(" \n" + ascii_lowercase + digits + punctuation)
_WORDS = Regex(rf"[{DNA_MARK}{PROTEIN_MARK}].| ?\p{{L}}+| ?\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+|\s+")


class JointTokenizer(ByPortable):
    """Byte-pair encoding of text, and one token for each letter of a sequence, in one vocabulary.

    What stands between `<dna>` and `</dna>` is read base by base (A, C, G, T, N; case is ignored and U is T),
    what stands between `<protein>` and `</protein>` residue by residue; each other symbol there is one
    `<unk>`. Everything else is text, in lower case; characters that the data did not have are read byte by
    byte, so that text has no `<unk>`. A letter of a sequence never shares a token with text, nor a base
    with a residue. A boundary that is not closed holds to the end. A special token written out is that
    token.

    Args:
        pieces: tokens of text by id, after the fixed ones: characters, then merges.
        merges: pairs of tokens in the order learnt.

    Raises:
        DataError: a merge of or into something that is no token.
    """

    kind = "joint"
    alphabet = "joint"
    letters = ""

    def __init__(self, pieces: tuple[str, ...], merges: list[tuple[str, str]]) -> None:
        self.tokens = (*_FIXED, *pieces)
        vocabulary = {token: index for index, token in enumerate(self.tokens)}
        missing = {part for pair in merges for part in (*pair, "".join(pair))}.difference(vocabulary)
        if missing:
            raise DataError(f"a joint vocabulary needs {min(missing)!r}, which it does not have")
        model = models.BPE(
            vocabulary, merges, unk_token=SPECIAL_TOKENS[UNK], byte_fallback=True, ignore_merges=True
        )
        self.portable = _portable(model)

    def decode(self, ids: Iterable[int]) -> str:
        """The string of ids with its boundaries, text in lower case; special tokens are left out."""
        ids = list(ids)
        tokens_of(self.tokens, ids)  # refuses ids outside the vocabulary
        return self.portable.decode(ids, skip_special_tokens=True)

    def save(self, path: Path) -> None:
        """Writes the folder (see `Tokenizer`)."""
        save_folder(path, self.portable, {"kind": self.kind})


def _portable(model: models.BPE) -> Tokenizer:
    portable = Tokenizer(model)
    portable.normalizer = _normalizer()
    portable.pre_tokenizer = pre_tokenizers.Split(_WORDS, behavior="isolated")
    # Normalised: they are looked for after the letters of sequences are marked, which needs to see them.
    portable.add_special_tokens([AddedToken(t, special=True, normalized=True) for t in SPECIAL_TOKENS])
    portable.add_tokens([AddedToken(t, special=False, normalized=True) for t in BOUNDARIES])
    portable.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>",
        pair="<bos> $A <eos> $B:1 <eos>:1",
        special_tokens=[(SPECIAL_TOKENS[BOS], BOS), (SPECIAL_TOKENS[EOS], EOS)],
    )
    plain = [
        decoders.Replace(mark + letter, letter.upper())
        for mark, letters in _LETTERS.items()
        for letter in letters
    ]
    portable.decoder = decoders.Sequence([*plain, decoders.ByteFallback(), decoders.Fuse()])
    return portable


def _normalizer() -> normalizers.Normalizer:
    """Lower case; marks before the letters of sequences; `<unk>` for symbols that are none.

    `\\G` is the place where the last match ended: a chain of marks starts at a boundary and goes on letter by
    letter and over special tokens until the next tag.
    """
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(DNA_MARK, "d"),
        normalizers.Replace(PROTEIN_MARK, "p"),
        normalizers.Lowercase(),
    ]
    special = "|".join(SPECIAL_TOKENS)
    for tag, mark in (("<dna>", DNA_MARK), ("<protein>", PROTEIN_MARK)):
        steps.append(normalizers.Replace(Regex(rf"(?:{tag}|\G(?!\A))(?:{special})*\K(?=[^<])"), mark))
    steps.append(normalizers.Replace(DNA_MARK + "u", DNA_MARK + "t"))
    for mark, letters in _LETTERS.items():
        steps.append(normalizers.Replace(Regex(rf"{mark}[^{letters.replace('*', chr(92) + '*')}]"), "<unk>"))
    return normalizers.Sequence(steps)


def train_joint(texts: Iterable[str], *, vocab_size: int = DEFAULT_SIZE) -> JointTokenizer:
    """Learns merges of text; what is inside `<dna>` and `<protein>` needs none.

    Ids: special tokens 0 to 5, boundaries 6 to 11, bases, residues, 256 bytes, characters of text, merges.

    Raises:
        ConfigError: a vocabulary smaller than what is fixed.

    >>> t = train_joint(["a kinase", "a kinase"], vocab_size=400)
    >>> ids = t.encode("<text>A kinase</text><dna>ACGU</dna>", add_special_tokens=False)
    >>> [t.tokens[i] for i in ids][:4], t.decode(ids)
    (['<text>', 'a', ' kinase', '</text>'], '<text>a kinase</text><dna>ACGT</dna>')
    """
    smallest = len(_FIXED) + len(_TEXT_LETTERS)
    if vocab_size < smallest:
        raise ConfigError(f"vocab_size = {vocab_size}, allowed: {smallest} or more, which are fixed")
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Split(_WORDS, behavior="isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(_FIXED),
        initial_alphabet=list(_TEXT_LETTERS),
        limit_alphabet=len(_TEXT_LETTERS),  # the others are read as bytes
        show_progress=False,
    )
    with progress(f"learning {vocab_size} tokens of text"):
        learner.train_from_iterator(texts, trainer)
    vocabulary = learner.get_vocab()
    return JointTokenizer(tuple(sorted(vocabulary, key=vocabulary.__getitem__)), merges_of(learner))


def _make(config: TokenizerConfig, corpus: Corpus) -> JointTokenizer:
    if config.alphabet is not None:
        raise ConfigError(
            f"alphabet = {config.alphabet!r}, but a joint tokenizer reads text, dna and protein"
        )
    return train_joint(sampled_texts(config), vocab_size=config.vocab_size or DEFAULT_SIZE)


def _load(path: Path, fields: Mapping[str, Any]) -> JointTokenizer:
    file = path / "tokenizer.json"
    model, tokens = read_model(file)
    if tokens[: len(_FIXED)] != _FIXED:
        raise DataError("its first tokens are not those of a joint tokenizer", where=file)
    return JointTokenizer(tokens[len(_FIXED) :], merges_of(model))


JOINT = Kind(make=_make, load=_load, learns=True)
