"""What a sampler has to know of a run beside its weights; kept in the exported folder's `biotrain.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biodata.files import read_json

NOTE = "diffusion"
_QUANTILES = 33


def sampling_note(objective: str, length: np.ndarray) -> dict[str, Any]:
    """For the metadata of an export: the objective, and lengths for masked diffusion.

    A masked model fills a given number of places. So that new sequences are as long as those it learnt from,
    33 evenly spaced quantiles of their tokens, special ones not counted, are noted.

    Args:
        objective: of the run.
        length: tokens of each training sample, two special ones included.
    """
    note: dict[str, Any] = {"objective": objective}
    if objective == "masked_diffusion":
        marks = np.quantile(np.maximum(length - 2, 1), np.linspace(0, 1, _QUANTILES), method="nearest")
        note[NOTE] = {"lengths": [int(value) for value in marks]}
    return note


def read_note(own: Path) -> Mapping[str, Any]:
    """The note in a `biotrain.json`; empty where the run was of another kind."""
    return read_json(own).get(NOTE, {}) if own.is_file() else {}


def draw_length(lengths: list[int], uniform: float, *, low: int, high: int) -> int:
    """A length between neighbouring quantiles, as likely as among the training sequences.

    Args:
        lengths: quantiles, ascending.
        uniform: in [0, 1).
        low: least length allowed.
        high: most.

    >>> [draw_length([2, 4, 10], u, low=1, high=8) for u in (0.0, 0.5, 0.99)]
    [2, 4, 8]
    """
    place = np.interp(uniform * (len(lengths) - 1), np.arange(len(lengths)), lengths)
    return int(np.clip(round(float(place)), low, high))
