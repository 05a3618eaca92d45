"""What to build a tokenizer from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from biodata.errors import ConfigError
from biodata.tokenizers.catalog import TOKENIZERS


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """A tokenizer to build and measure.

    Raises:
        ConfigError: an unknown kind, a value out of range, or an option of another kind.

    >>> TokenizerConfig(kind="codom", data=Path("d"), out=Path("t"))
    Traceback (most recent call last):
    biodata.errors.ConfigError: unknown tokenizer kind 'codom', did you mean 'codon'? ...
    """

    kind: str = field(
        metadata={"help": "tokenizer kind, for example codon, nuc, 6mer, kmer, bpe, sentencepiece or aa"}
    )
    data: Path = field(
        metadata={"help": "dataset folder (its training split is read), Parquet file or FASTA"}
    )
    out: Path = field(metadata={"help": "folder for tokenizer.json and tokenizer_config.json"})
    vocab_size: int | None = field(
        default=None,
        metadata={
            "help": "tokens, special ones included, of kinds that learn (default 4096; sentencepiece: 128)"
        },
    )
    k: int | None = field(
        default=None, metadata={"help": "letters per token, 1 to 10 (kmer only; default 6)"}
    )
    overlap: int | None = field(
        default=None,
        metadata={"help": "letters shared by neighbours, 0 to k - 1 (kmer only; default 0)"},
    )
    alphabet: Literal["dna", "protein"] | None = field(
        default=None,
        metadata={"help": "what the letters are, of kinds that learn pieces (default: as the dataset says)"},
    )
    sample_letters: int | None = field(
        default=None,
        metadata={
            "help": "letters to learn from, drawn over the whole data (default 8000000; unigram 2000000)"
        },
    )
    piece_letters: int = field(
        default=512, metadata={"help": "sequences are cut into pieces this long while learning, 16 to 65536"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the draw of pieces, 0 or more"})

    def __post_init__(self) -> None:
        kind = TOKENIZERS.resolve(self.kind)
        if kind != "kmer" and (self.k is not None or self.overlap is not None):
            raise ConfigError(f"k and overlap belong to kind kmer, the kind is {self.kind!r}")
        if self.alphabet not in (None, "dna", "protein"):
            raise ConfigError(f"alphabet = {self.alphabet!r}, allowed: dna (reads RNA too), protein")
        if self.vocab_size is not None and self.vocab_size < 1:
            raise ConfigError(f"vocab_size = {self.vocab_size}, allowed: 1 or more")
        if self.sample_letters is not None and self.sample_letters < self.piece_letters:
            raise ConfigError(
                f"sample_letters = {self.sample_letters}, allowed: "
                f"piece_letters = {self.piece_letters} or more"
            )
        if not 16 <= self.piece_letters <= 65536:
            raise ConfigError(f"piece_letters = {self.piece_letters}, allowed: 16 to 65536")
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}, allowed: 0 or more")
