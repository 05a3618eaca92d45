"""Configurations by content, for fingerprints: what decides the bytes, wherever the files lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError
from biodata.files import sha256_file


def content_of(config: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """A configuration as nested plain values, every path replaced by the SHA-256 of what is there.

    Args:
        config: a configuration.
        without: fields left out, of inner groups as `group.field`.

    Raises:
        ConfigError: a path leads nowhere.
    """
    found = {}
    for item in dataclasses.fields(config):
        if item.name not in without:
            inner = [name[len(item.name) + 1 :] for name in without if name.startswith(f"{item.name}.")]
            found[item.name] = _content(item.name, getattr(config, item.name), inner)
    return found


def _content(name: str, value: Any, without: Collection[str]) -> Any:
    if dataclasses.is_dataclass(value):
        return content_of(value, without=without)
    if not isinstance(value, Path):
        return value
    if value.is_dir():
        return {path.name: sha256_file(path) for path in sorted(value.iterdir()) if path.is_file()}
    if not value.is_file():
        raise ConfigError(f"{name} is {str(value)!r}: no such file")
    return sha256_file(value)
