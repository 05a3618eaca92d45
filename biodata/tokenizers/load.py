"""Reads a saved tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers

from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from biodata.tokenizers.catalog import TOKENIZERS
from biodata.tokenizers.portable import tokens_by_id
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
    if tokens_by_id(read_portable(file)) != tokenizer.tokens:
        hint = f"tokenizer_config.json says kind {fields['kind']!r}"
        raise DataError("its vocabulary is not the one of this kind", where=file, hint=hint)
    return tokenizer


def read_portable(file: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a `tokenizer.json`.

    Raises:
        DataError: the file cannot be read as one.
    """
    text = file.read_text(encoding="utf-8")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error}", where=file) from error
    return tokenizers.Tokenizer.from_str(text)


def _fields(path: Path) -> dict[str, Any]:
    config = path / "tokenizer_config.json"
    for file in (path / "tokenizer.json", config):
        if not file.is_file():
            hint = "a tokenizer is a folder that `seqloom tokenizer train` wrote"
            raise ConfigError(f"{file} does not exist ({hint})")
    try:
        fields = read_json(config).get("seqloom")
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error}", where=config) from error
    if not isinstance(fields, dict) or "kind" not in fields:
        hint = "other tokenizers are not read: what they do with N, U and lower case is unknown"
        raise DataError("no field 'seqloom' with a kind", where=config, hint=hint)
    return fields
