"""Reads a saved tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biodata.errors import ConfigError, DataError
from biodata.tokenizers.catalog import TOKENIZERS
from biodata.tokenizers.portable import read_json_file, read_model
from biodata.tokenizers.protocol import Tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a folder that `save` wrote.

    What it is stands in `tokenizer_config.json` under `seqloom`; nothing is guessed from the vocabulary, and
    the vocabulary of `tokenizer.json` must be the one that this kind has.

    Args:
        path: folder with `tokenizer.json` and `tokenizer_config.json`.

    Raises:
        ConfigError: no such folder.
        DataError: a folder that is not ours, or files that contradict each other.
    """
    path = Path(path)
    fields = _fields(path)
    tokenizer = TOKENIZERS.load(fields["kind"]).load(path, fields)
    file = path / "tokenizer.json"
    if read_model(file)[1] != tokenizer.tokens:
        hint = f"tokenizer_config.json says kind {fields['kind']!r}"
        raise DataError("its vocabulary is not the one of this kind", where=file, hint=hint)
    return tokenizer


def _fields(path: Path) -> dict[str, Any]:
    config = path / "tokenizer_config.json"
    for file in (path / "tokenizer.json", config):
        if not file.is_file():
            hint = "a tokenizer is a folder that `seqloom tokenizer train` wrote"
            raise ConfigError(f"{file} does not exist ({hint})")
    content = read_json_file(config)
    fields = content.get("seqloom") if isinstance(content, dict) else None
    if not isinstance(fields, dict) or "kind" not in fields:
        hint = "other tokenizers are not read: what they do with N, U and lower case is unknown"
        raise DataError("no field 'seqloom' with a kind", where=config, hint=hint)
    return fields
