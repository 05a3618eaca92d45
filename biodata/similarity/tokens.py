"""SELFIES tokens as single letters, so that what compares letters compares tokens."""

from __future__ import annotations

import re

import pyarrow as pa

from biodata.errors import DataError

_TOKEN = re.compile(r"\[[^\]]*\]|.")
_MOST_TOKENS = 220  # one byte each, the limit of edlib
_FIRST = 33


def token_letters(
    sequences: pa.ChunkedArray | pa.Array, *, of: pa.ChunkedArray | pa.Array | None = None
) -> pa.ChunkedArray:
    """Each row as a text with one letter for every token.

    Args:
        sequences: SELFIES.
        of: rows whose tokens get letters of their own, all others share one; by default `sequences`. Texts
            made with the same `of` can be compared.

    Raises:
        DataError: more different tokens than there are letters.

    >>> token_letters(pa.array(["[C][=O]", "[O][C]"]), of=pa.array(["[C]"])).to_pylist()
    ['!"', '"!']
    """
    tokens = [_TOKEN.findall(text) for text in sequences.to_pylist()]
    told = tokens if of is None else (_TOKEN.findall(text) for text in of.to_pylist())
    known = sorted(set().union(*told))
    if len(known) > _MOST_TOKENS:
        raise DataError(f"{len(known)} different SELFIES tokens, at most {_MOST_TOKENS} can be compared")
    letter = {token: chr(_FIRST + at) for at, token in enumerate(known)}
    other = chr(_FIRST + len(known))
    texts = ["".join(letter.get(token, other) for token in row) for row in tokens]
    return pa.chunked_array([pa.array(texts, pa.large_string())])
