"""Vocabularies for tests."""

from __future__ import annotations

from itertools import product

from biodata.alphabet import reverse_complement
from biodata.tokenizers.special import SPECIAL_TOKENS


def dna_tokens(size: int) -> list[str]:
    """A vocabulary of short DNA words that has the reverse complement of each."""
    tokens = list(SPECIAL_TOKENS)
    for word in ("".join(letters) for k in (1, 2, 3) for letters in product("ACGT", repeat=k)):
        new = {word, reverse_complement(word)} - set(tokens)
        tokens += sorted(new) if len(tokens) + len(new) <= size else []
    assert len(tokens) == size
    return tokens
