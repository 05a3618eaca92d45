"""Configurations by content, for fingerprints: what decides the bytes, wherever the files lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from biodata.files import sha256_file


def content_of(config: Any) -> dict[str, Any]:
    """A configuration as nested plain values, every path replaced by the SHA-256 of what is there.

    Raises:
        ConfigError: a path leads nowhere.
    """
    return {item.name: _content(item.name, getattr(config, item.name)) for item in dataclasses.fields(config)}


def _content(name: str, value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return content_of(value)
    if not isinstance(value, Path):
        return value
    if value.is_dir():
        return {path.name: sha256_file(path) for path in sorted(value.iterdir()) if path.is_file()}
    if not value.is_file():
        raise ConfigError(f"{name} is {str(value)!r}: no such file")
    return sha256_file(value)
