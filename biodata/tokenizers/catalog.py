"""The table of tokenizer kinds. To add one: one file with a `kinds.Kind`, one line here."""

from __future__ import annotations

from biodata.catalog import Catalog

TOKENIZERS = Catalog(
    "tokenizer kind",
    {
        "aa": "biodata.tokenizers.letters:AA",
        "bpe": "biodata.tokenizers.bpe:BPE",
        "codon": "biodata.tokenizers.kmer:CODON",
        "6mer": "biodata.tokenizers.kmer:SIX_MER",
        "joint": "biodata.tokenizers.joint:JOINT",
        "kmer": "biodata.tokenizers.kmer:KMER",
        "nuc": "biodata.tokenizers.letters:NUC",
        "nuc16": "biodata.tokenizers.letters:NUC16",
        "selfies": "biodata.tokenizers.selfies:SELFIES",
        "sentencepiece": "biodata.tokenizers.sentencepiece:SENTENCEPIECE",
        "unigram": "biodata.tokenizers.unigram:UNIGRAM",
        "wordpiece": "biodata.tokenizers.wordpiece:WORDPIECE",
    },
    aliases={"3mer": "codon", "ug": "unigram", "wp": "wordpiece"},
)
"""Name to a `biodata.tokenizers.kinds.Kind`."""
