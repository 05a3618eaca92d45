"""SELFIES: one token for each bracketed symbol that the data has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from biodata.errors import ConfigError, DataError
from biodata.tokenizers.columns import has_special_text
from biodata.tokenizers.corpus import Corpus
from biodata.tokenizers.encoding import InColumns
from biodata.tokenizers.kinds import Kind, refuse_sampling
from biodata.tokenizers.portable import (
    encode_portably,
    read_model,
    save_folder,
    with_special_tokens,
)
from biodata.tokenizers.protocol import Encoded
from biodata.tokenizers.special import BOS, EOS, SPECIAL_TOKENS, UNK

if TYPE_CHECKING:
    from biodata.tokenizers.config import TokenizerConfig

_SYMBOL = r"\[[^\[\]\s]+\]|\."
_PARTS = rf"{_SYMBOL}|[\s\S]"
_PARTS_POLARS = rf"(?s){_SYMBOL}|."


class SelfiesTokenizer(InColumns):
    """Molecules as SELFIES (Krenn et al. 2020, doi:10.1088/2632-2153/aba947), a token for each symbol.

    A symbol is what stands in brackets, or the `.` between fragments. Case is kept: `[C]` and `[c]` differ. A
    symbol that the data did not have is one `<unk>`, and so is each character outside brackets. A special
    token written out in the text is that token.

    Args:
        symbols: the symbols in the order of their ids, from 6.

    >>> t = SelfiesTokenizer(("[=O]", "[C]"))
    >>> t.encode("[C][=O][Xe]C"), t.decode([1, 7, 6, 2])
    ([1, 7, 6, 3, 3, 2], '[C][=O]')
    """

    kind = "selfies"
    alphabet = "selfies"
    letters = ""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.tokens = (*SPECIAL_TOKENS, *symbols)
        vocabulary = {token: index for index, token in enumerate(self.tokens)}
        portable = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[UNK]))
        portable.pre_tokenizer = pre_tokenizers.Split(Regex(_PARTS), behavior="isolated")
        self.portable = with_special_tokens(portable, SPECIAL_TOKENS)
        self._ids = vocabulary

    def encode_chunk(self, rows: pa.LargeStringArray, *, special: bool) -> Encoded:
        """Ids of a part of a column."""
        if has_special_text(rows):
            return encode_portably(self.portable, rows, special=special)
        parts = pl.Series(values=rows, dtype=pl.String).str.extract_all(_PARTS_POLARS)
        counts = parts.list.len().to_numpy().astype(np.int64)
        flat = parts.explode(empty_as_null=False)
        known = flat.replace_strict(self._ids, default=UNK, return_dtype=pl.UInt32).to_numpy()
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        if not special:
            return Encoded(known, offsets)
        ids = np.insert(known, np.repeat(offsets, 2)[1:-1], np.tile([BOS, EOS], len(rows)))
        return Encoded(ids, offsets + 2 * np.arange(len(offsets)))

    def save(self, path: Path) -> None:
        """Writes the folder (see `Tokenizer`)."""
        save_folder(path, self.portable, {"kind": self.kind})


def train_selfies(
    columns: Iterable[pa.LargeStringArray], *, vocab_size: int | None = None
) -> SelfiesTokenizer:
    """Takes the symbols of all molecules, alphabetically; with `vocab_size` the most frequent ones.

    Raises:
        ConfigError: a size that leaves no room for symbols.
        DataError: no symbol in brackets: these are no SELFIES.
    """
    if vocab_size is not None and vocab_size <= len(SPECIAL_TOKENS):
        raise ConfigError(
            f"vocab_size = {vocab_size}, allowed: {len(SPECIAL_TOKENS) + 1} or more (6 special)"
        )
    counts: Counter[str] = Counter()
    for rows in columns:
        found = (
            pl.Series("symbol", rows, dtype=pl.String).str.extract_all(_SYMBOL).explode(empty_as_null=False)
        )
        counts.update(dict(found.value_counts().iter_rows()))
    ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    if not any(symbol.startswith("[") for symbol in ranked):
        raise DataError(
            "no symbols in brackets: these are no SELFIES", hint="are they SMILES? convert them first"
        )
    room = None if vocab_size is None else vocab_size - len(SPECIAL_TOKENS)
    return SelfiesTokenizer(tuple(sorted(ranked[:room])))


def _make(config: TokenizerConfig, corpus: Corpus) -> SelfiesTokenizer:
    refuse_sampling(config)
    if config.alphabet is not None:
        raise ConfigError(f"alphabet = {config.alphabet!r}, but a selfies tokenizer reads selfies")
    return train_selfies(corpus.chunks(), vocab_size=config.vocab_size)


def _load(path: Path, fields: Mapping[str, Any]) -> SelfiesTokenizer:
    tokens = read_model(path / "tokenizer.json")[1]
    return SelfiesTokenizer(tokens[len(SPECIAL_TOKENS) :])


SELFIES = Kind(make=_make, load=_load, learns=False)
