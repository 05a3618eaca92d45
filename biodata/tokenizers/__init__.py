"""Tokenizers: sequences to integer ids and back, one file per family.

Special ids are the same in all of them (`special.py`); `train_tokenizer` builds one and measures it on data,
`load_tokenizer` reads a saved folder, `TOKENIZERS` lists the kinds.
"""

from __future__ import annotations

from biodata.tokenizers.catalog import TOKENIZERS
from biodata.tokenizers.load import load_tokenizer
from biodata.tokenizers.protocol import Encoded, Tokenizer
from biodata.tokenizers.special import SPECIAL_TOKENS
from biodata.tokenizers.train import TokenizerConfig, train_tokenizer

__all__ = [
    "SPECIAL_TOKENS",
    "TOKENIZERS",
    "Encoded",
    "Tokenizer",
    "TokenizerConfig",
    "load_tokenizer",
    "train_tokenizer",
]
