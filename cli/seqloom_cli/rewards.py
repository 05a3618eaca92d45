"""What `seqloom finetune` rewards: a measure of generated sequences, or a function of one's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.metrics import METRICS
from bioeval.metrics.composition import gc_content
from bioeval.metrics.protocol import Metric
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.sequences.inputs import read_set

Reward = Callable[[Sequence[str]], np.ndarray]

_PLAIN: dict[str, Callable[[SequenceSet], np.ndarray]] = {
    "gc": lambda sequences: gc_content(sequences) / 100,
    "length": lambda sequences: sequences.lengths.astype(np.float64),
}
"""Properties of single sequences: the share of G and C, 0 to 1, and the number of letters."""

_FAMILIES: tuple[tuple[str, dict[str, int]], ...] = (
    *((family, {}) for family in ("composition", "codon-usage", "orf")),
    *(("kmer", {"k": k}) for k in range(1, 7)),
)
"""Metrics that mean something for one sequence, and their settings."""


def reward_of(text: str, *, reference: Path | None, seed: int) -> Reward:
    """The function of a list of strings that an option names.

    `module:function` is imported, the working directory included. `NAME` is `gc`, `length` or a measure of
    `eval sequences`, of each sequence alone: more is better, or, of a distance from `reference`, less.
    `NAME=TARGET` rewards nearness: minus the absolute difference. Where a measure is not defined for a
    sequence, it counts as the worst of its batch.

    Args:
        text: the option.
        reference: natural sequences, for distances.
        seed: of the draw of at most 1000 of them.

    Raises:
        ConfigError: neither a known measure nor something to import.
        DataError: an unreadable reference.
    """
    _check_reference(text, reference)
    if ":" in text:
        return _imported(text)
    name, _, target = text.partition("=")
    value = _number(target, text) if target else None
    if name in _PLAIN:
        return lambda texts: _scored(_PLAIN[name](SequenceSet.from_strings(texts)), sign=1, target=value)
    metric, at = _measure(name)
    distance = metric.measures[at].kind == "distance"
    if distance and reference is None:
        raise ConfigError(f"reward {name!r} is a distance from natural sequences: give --reference FILE")
    if not distance and reference is not None:
        raise _needless(name, reference)
    natural = _features(metric, reference, seed)

    def judge(texts: Sequence[str]) -> np.ndarray:
        found = metric.features(SequenceSet.from_strings(texts))
        against = found if natural is None else natural[0]
        size = len(texts) if natural is None else natural[1]
        rows, others = np.eye(len(texts), dtype=bool), np.ones((len(texts), size), dtype=bool)
        values = metric.compare(found, against, rows=rows, others=others)[:, at]
        return _scored(values, sign=-1 if distance else 1, target=value)

    return judge


def _check_reference(text: str, reference: Path | None) -> None:
    """Refuses natural sequences for what never looks at them."""
    name = text if ":" in text else text.partition("=")[0]
    if reference is not None and (":" in text or name in _PLAIN):
        raise _needless(name, reference)


def _needless(name: str, reference: Path) -> ConfigError:
    return ConfigError(
        f"reward {name!r} is no distance: it does not read --reference {reference}, leave it out"
    )


def _scored(values: np.ndarray, *, sign: int, target: float | None) -> np.ndarray:
    scores = sign * values if target is None else 0.0 - np.abs(values - target)
    known = np.isfinite(scores)
    if not known.any():
        raise DataError("the reward is defined for none of the sequences of a step")
    return np.where(known, scores, scores[known].min())


def _measure(name: str) -> tuple[Metric, int]:
    """The metric with the measure of this name, and its place there."""
    known = [*_PLAIN]
    for family, settings in _FAMILIES:
        metric: Metric = METRICS.load(family)(**settings)
        names = [measure.name for measure in metric.measures]
        if name in names:
            return metric, names.index(name)
        known += names
    raise ConfigError(f"unknown reward {name!r} (known: {', '.join(known)}, or module:function)")


def _features(metric: Metric, reference: Path | None, seed: int) -> tuple[Any, int] | None:
    if reference is None:
        return None
    sequences = read_set(reference, split="test", limit=1000, seed=seed).sequences
    return metric.features(sequences), len(sequences)


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"reward {option!r}: {text!r} is no number (for example gc=0.5)") from None


def _imported(text: str) -> Any:
    module_name, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = getattr(import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"reward {text!r}: {error}") from error
    if not callable(found):
        raise ConfigError(f"reward {text!r} is no function of a list of strings")
    return found
