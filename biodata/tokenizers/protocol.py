"""What every tokenizer offers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import tokenizers

SequenceColumn: TypeAlias = "pa.StringArray | pa.LargeStringArray | pa.ChunkedArray"


class Encoded(NamedTuple):
    """The tokens of a column of sequences, end to end.

    Attributes:
        ids: uint8, uint16 or uint32 (the smallest that holds the vocabulary), one after the other.
        offsets: int64, one more than rows; row `i` is `ids[offsets[i]:offsets[i + 1]]`.
    """

    ids: np.ndarray
    offsets: np.ndarray

    def row(self, index: int) -> np.ndarray:
        """The ids of one row."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]


class Tokenizer(Protocol):
    """Text to ids and back; ids 0 to 5 are `special.SPECIAL_TOKENS` in every tokenizer.

    Attributes:
        kind: name in the catalog.
        alphabet: `dna` (which reads RNA too: U is T) or `protein`.
        letters: the symbols it knows, upper case; any other symbol ends up in an `<unk>`.
        tokens: every token, by id.
        portable: what `tokenizer.json` holds.
    """

    @property
    def kind(self) -> str: ...

    @property
    def alphabet(self) -> str: ...

    @property
    def letters(self) -> str: ...

    @property
    def tokens(self) -> tuple[str, ...]: ...

    @property
    def portable(self) -> tokenizers.Tokenizer: ...

    @property
    def vocab_size(self) -> int: ...

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of one sequence, by default between `<bos>` and `<eos>`."""
        ...

    def encode_column(self, column: SequenceColumn, *, add_special_tokens: bool = True) -> Encoded:
        """Ids of a whole column, equal to `encode` of each row.

        Raises:
            DataError: a row is null.
        """
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The sequence of ids; special tokens, `<unk>` among them, are left out.

        Raises:
            DataError: an id outside the vocabulary.
        """
        ...

    def save(self, path: Path) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json` into a folder."""
        ...


def id_type(vocab_size: int) -> np.dtype:
    """The smallest unsigned integer type that holds every id.

    >>> id_type(70), id_type(4102), id_type(65542)
    (dtype('uint8'), dtype('uint16'), dtype('uint32'))
    """
    return np.min_scalar_type(vocab_size - 1)
