"""Two ways to encode a column: as `tokenizer.json` does it itself, or by a faster path that equals it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import pyarrow as pa
from tokenizers import Tokenizer

from biodata.tokenizers.columns import chunks_of, join
from biodata.tokenizers.portable import encode_portably, tokens_text
from biodata.tokenizers.protocol import Encoded, SequenceColumn, id_type


class ByPortable:
    """Encodes by the portable form.

    Attributes:
        tokens: every token, by id.
        portable: what `tokenizer.json` holds.
    """

    tokens: tuple[str, ...]
    portable: Tokenizer

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self.tokens)

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of one sequence."""
        return self.portable.encode(sequence, add_special_tokens=add_special_tokens).ids

    def encode_column(self, column: SequenceColumn, *, add_special_tokens: bool = True) -> Encoded:
        """Ids of a column (see `Tokenizer`)."""
        parts = (self.encode_chunk(rows, special=add_special_tokens) for rows in chunks_of(column))
        return join(parts, id_type(self.vocab_size))

    def encode_chunk(self, rows: pa.LargeStringArray, *, special: bool) -> Encoded:
        """Ids of a part of a column."""
        return encode_portably(self.portable, rows, special=special)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special and reserved tokens left out."""
        return tokens_text(self.tokens, ids)


class InColumns(ByPortable, ABC):
    """Encodes whole columns by code of its own; ids are those of the portable form."""

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of one sequence."""
        column = pa.array([sequence], pa.large_string())
        return self.encode_column(column, add_special_tokens=add_special_tokens).ids.tolist()

    @abstractmethod
    def encode_chunk(self, rows: pa.LargeStringArray, *, special: bool) -> Encoded:
        """Ids of a part of a column."""
