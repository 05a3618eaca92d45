"""Checks of configuration values: one line that quotes the value and says what is allowed."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

from biodata.errors import ConfigError


def check_range(name: str, value: float, *, low: float = -math.inf, high: float = math.inf) -> None:
    """Demands `low <= value <= high`, both ends included.

    Args:
        name: of the setting, for the message.
        value: as given.
        low: least value allowed.
        high: greatest value allowed.

    Raises:
        ConfigError: outside, or not a number.

    >>> check_range("dropout", 1.5, low=0, high=1)
    Traceback (most recent call last):
    biodata.errors.ConfigError: dropout must be from 0 to 1, got 1.5
    """
    if low <= value <= high:
        return
    allowed = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
    raise ConfigError(f"{name} must be {allowed}, got {value!r}")


def said(name: str, value: Any) -> str:
    """A setting as its option is named: of a group the fields that are not as usual.

    Args:
        name: of the setting.
        value: what it was set to.
    """
    if not is_dataclass(value):
        return name
    changed = [item for item in fields(value) if getattr(value, item.name) != item.default]
    given = [item for item in changed if item.default is not None] or changed  # what is none is filled in
    return ", ".join(f"{name}.{item.name}" for item in given) or name
