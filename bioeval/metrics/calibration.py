"""Values beside their scale: what the reference gives against itself, shuffled, and what was generated gives.

Every row of the scale compares subsets of the same sizes, so that finite-sample bias (large for k-mers and
for persistence diagrams) is the same in all of them. The split-half null follows the recommendation to report
self-distances beside distances; intervals are percentiles over random splits by sequence, not by letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bioeval.metrics.protocol import Metric

INTERVAL = (2.5, 97.5)
"""Percentiles of every interval here: the middle 95 %."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Random subsets: two disjoint ones of the reference and one of another set.

    Attributes:
        half: bool [B, n reference], the subset that plays the generated set.
        rest: bool [B, n reference], as many other sequences (fewer where families do not fit).
        other: bool [B, n other], as many of the other set.
    """

    half: np.ndarray
    rest: np.ndarray
    other: np.ndarray


MIN_FAMILIES = 4


def usable_families(families: np.ndarray | None) -> bool:
    """Whether halves can be made of whole families: at least 4, none with more than a quarter of all.

    >>> usable_families(np.array([0, 0, 1, 1, 2, 2, 3, 3])), usable_families(np.array([0, 0, 0, 1, 2, 3]))
    (True, False)
    """
    if families is None:
        return False
    sizes = np.unique(families, return_counts=True)[1]
    return len(sizes) >= MIN_FAMILIES and bool(4 * sizes.max() <= len(families))


def random_splits(
    reference: int, other: int, *, resamples: int, seed: int, families: np.ndarray | None = None
) -> Splits:
    """Draws `Splits` of size min(other, reference // 2), without replacement.

    Relatives on both sides would make the halves more alike than two independent sets are, and the null too
    narrow: where families are known (and `usable_families`), no family has members in both halves.

    Args:
        reference: number of reference sequences.
        other: number of sequences of the other set.
        resamples: how many splits.
        seed: of the draws.
        families: int [reference], the family (cluster) of each reference sequence.

    >>> splits = random_splits(10, 4, resamples=3, seed=0)
    >>> splits.half.sum(axis=1).tolist(), bool((splits.half & splits.rest).any())
    ([4, 4, 4], False)
    """
    rng = np.random.default_rng(seed)
    size = min(other, reference // 2)
    half = np.zeros((resamples, reference), dtype=bool)
    rest, drawn = np.zeros_like(half), np.zeros((resamples, other), dtype=bool)
    for row in range(resamples):
        order = rng.permutation(reference)
        remaining = order[size:]
        if families is not None and usable_families(families):
            order = order[np.argsort(_shuffled_ranks(families, rng)[order], kind="stable")]
            remaining = order[size:][families[order[size:]] != families[order[size - 1]]]
        half[row, order[:size]] = True
        rest[row, remaining[:size]] = True
        drawn[row, rng.permutation(other)[:size]] = True
    return Splits(half, rest, drawn)


def _shuffled_ranks(families: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random rank for each family, for each of its members."""
    names, member = np.unique(families, return_inverse=True)
    return rng.permutation(len(names))[member]


@dataclass(frozen=True, slots=True)
class FeatureSets:
    """A metric's features of the three sets that are compared."""

    generated: Any
    reference: Any
    shuffled: Any


def calibrate(metric: Metric, features: FeatureSets, *, sizes: tuple[int, int], splits: Splits) -> list[dict]:
    """One result a measure of a metric.

    Args:
        metric: the metric.
        features: its features of the generated, the reference and the shuffled reference sequences.
        sizes: number of generated and of reference sequences.
        splits: the resamples, drawn for the generated set.

    Returns:
        Dicts with `name`, `title`, `unit`, `kind`, `value` (all sequences), `null_lo` and `null_hi` (95 %
        interval of half against half), `scale` (means of equal-sized subsets: `half_vs_half`, `shuffled`,
        `generated`), `generated_lo`, `generated_hi` (95 % interval of the last), `within_null` (whether the
        mean of the last lies in the null interval; None where either is not defined), `tells` (whether the
        shuffled reference lies outside it, so that lying inside means something; true for what shuffling
        keeps).
    """
    everything = np.ones((1, sizes[0]), dtype=bool), np.ones((1, sizes[1]), dtype=bool)
    value = metric.compare(features.generated, features.reference, rows=everything[0], others=everything[1])[
        0
    ]
    against = {"second": features.reference, "others": splits.rest}
    null = metric.compare(features.reference, rows=splits.half, **against)
    shuffled = metric.compare(features.shuffled, rows=splits.half, **against)
    generated = metric.compare(features.generated, rows=splits.other, **against)
    return [
        _result(measure, float(value[i]), null[:, i], shuffled[:, i], generated[:, i])
        for i, measure in enumerate(metric.measures)
    ]


def _result(measure: Any, value: float, null: np.ndarray, shuffled: np.ndarray, drawn: np.ndarray) -> dict:
    null_lo, null_hi = _interval(null)
    generated_lo, generated_hi = _interval(drawn)
    mean = float(drawn.mean())
    judged = not np.isnan([mean, null_lo, null_hi]).any()

    def inside(of: float) -> bool:
        # a distance below the null is as good as one in it
        return bool(of <= null_hi and (measure.kind == "distance" or of >= null_lo))

    return {
        "name": measure.name, "title": measure.title, "unit": measure.unit, "kind": measure.kind,
        "value": value, "null_lo": null_lo, "null_hi": null_hi,
        "scale": {"half_vs_half": float(null.mean()), "shuffled": float(shuffled.mean()), "generated": mean},
        "generated_lo": generated_lo, "generated_hi": generated_hi,
        "within_null": inside(mean) if judged else None,
        "tells": measure.kept_by_shuffling or not inside(float(shuffled.mean())),
    }  # fmt: skip


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
