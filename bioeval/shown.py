"""Scores in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shown(value: float | None) -> str:
    """A score with three digits.

    >>> shown(0.25), shown(None)
    ('0.250', 'undefined')
    """
    return "undefined" if value is None else f"{value:.3f}"


def score_shown(found: Mapping[str, Any]) -> str:
    """A score of some rows with its interval and their number.

    Args:
        found: `value`, `lo`, `hi` and `n`.

    >>> score_shown({"value": 0.5, "lo": 0.25, "hi": 0.75, "n": 40})
    '0.500 [0.250, 0.750] (n = 40)'
    """
    bounds = f" [{shown(found['lo'])}, {shown(found['hi'])}]" if found["lo"] is not None else ""
    return f"{shown(found['value'])}{bounds} (n = {found['n']})"
