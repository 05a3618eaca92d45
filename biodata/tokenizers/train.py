"""Builds a tokenizer, saves it and says how it reads the data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from biodata.errors import ConfigError, DataError
from biodata.progress import say
from biodata.tokenizers.catalog import TOKENIZERS
from biodata.tokenizers.config import TokenizerConfig
from biodata.tokenizers.corpus import Corpus, Sample
from biodata.tokenizers.kinds import Kind
from biodata.tokenizers.measure import measure, warnings_of
from biodata.tokenizers.protocol import Tokenizer
from biodata.tokenizers.rows import JOINT, training_strings


def train_tokenizer(config: TokenizerConfig, *, replace: bool = True) -> dict[str, Any]:
    """Builds and saves a tokenizer and measures it.

    A vocabulary of pieces is measured on the pieces that it learnt from; any other on all training rows. A
    warning (unknown rate above 1 % with its likely cause, wrong alphabet, fewer tokens than asked for) is
    one line on standard error and in the result.

    Args:
        replace: whether another tokenizer in the folder may be replaced.

    Returns:
        `path`, `kind`, `vocab_size`, `symbols_per_token` (letters per token, `<bos>` and `<eos>` not
        counted), `unknown_rate` (share of `<unk>` among these tokens), `rows`, `letters`, `warnings`.

    Raises:
        ConfigError: an option that the kind does not have, data that does not exist, or a folder that holds
            another tokenizer.
        DataError: data without sequences.
    """
    corpus = Corpus(config.data)
    kind: Kind = TOKENIZERS.load(config.kind)
    tokenizer = kind.make(config, corpus)
    cut = kind.learns and tokenizer.kind != JOINT
    measured = measure(
        tokenizer, _sampled(config, corpus) if cut else training_strings(config.data, tokenizer.kind)
    )
    if not measured.letters:
        raise DataError("no letters in the training sequences", where=config.data)
    if not replace:
        _refuse_another(tokenizer, config.out)
    tokenizer.save(config.out)
    warnings = [*_size_warning(config, tokenizer), *warnings_of(tokenizer, measured)]
    for warning in warnings:
        say(f"warning: {warning}")
    return {
        "path": str(config.out),
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "symbols_per_token": measured.symbols_per_token,
        "unknown_rate": measured.unknown_rate,
        "rows": measured.rows,
        "letters": measured.letters,
        "warnings": warnings,
    }


def _refuse_another(tokenizer: Tokenizer, out: Path) -> None:
    """Refuses a folder with a tokenizer whose files are not the ones about to be written."""
    if not (out / "tokenizer.json").exists():
        return
    with tempfile.TemporaryDirectory(prefix="seqloom-tokenizer-") as folder:
        tokenizer.save(Path(folder))
        for new in Path(folder).iterdir():
            old = out / new.name
            if not old.is_file() or old.read_bytes() != new.read_bytes():
                raise ConfigError(f"{out} holds another tokenizer (other kind, settings or data): "
                                  "use another --out, or --overwrite to replace it")  # fmt: skip


def _sampled(config: TokenizerConfig, corpus: Corpus) -> Iterator[pa.LargeStringArray]:
    pieces = [piece.decode("utf-8", "replace") for piece in Sample.of(config).pieces(corpus)]
    yield pa.array(pieces, pa.large_string())


def _size_warning(config: TokenizerConfig, tokenizer: Tokenizer) -> list[str]:
    if config.vocab_size is None or tokenizer.vocab_size == config.vocab_size:
        return []
    return [f"the data gave {tokenizer.vocab_size} tokens, not the {config.vocab_size} asked for"]
