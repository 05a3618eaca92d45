"""Special tokens: the same ids in every tokenizer, for every objective and loss."""

from __future__ import annotations

PAD, BOS, EOS, UNK, MASK, SEP = range(6)
SPECIAL_TOKENS: tuple[str, ...] = ("<pad>", "<bos>", "<eos>", "<unk>", "<mask>", "<sep>")
