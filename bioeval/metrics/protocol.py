"""What a metric is: per-sequence features once, then any number of comparisons of subsets of them.

Splitting it so makes calibration cheap: the null distribution of a metric is `compare` on random halves of
the reference's own features, with no sequence read twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number that a metric gives.

    Attributes:
        name: key in `results.json`, for example `kmer_jsd_k3`.
        unit: unit of the value, for example `bits`.
        title: what it is, in words for a table.
        kind: `distance` (0 for equal sets), `share` (a property of the generated set alone, read against
            the same property of the reference).
        kept_by_shuffling: whether shuffling the letters of every sequence leaves it as it is, so that the
            shuffled reference says nothing about the power of the measure.
    """

    name: str
    unit: str
    title: str
    kind: Literal["distance", "share"] = "distance"
    kept_by_shuffling: bool = False


class Metric(Protocol):
    """A family of measures computed together."""

    @classmethod
    def of_run(cls, setting: Setting) -> list[Self]:
        """The metric with the options that fit a run, once or several times.

        Raises:
            NotApplicableError: it says nothing about these sequences; the reason is shown.
        """
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The numbers it gives, in the order of the last axis of `compare`."""
        ...

    def features(self, sequences: SequenceSet) -> Any:
        """What `compare` needs of a set; anything that rows of sequences can be selected from."""
        ...

    def compare(self, first: Any, second: Any, *, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Measures of subsets of a first set against subsets of a second.

        Args:
            first: features of the set that is judged.
            second: features of the set it is judged against.
            rows: bool [B, n of first], the sequences of each subset.
            others: bool [B, n of second].

        Returns:
            float64 [B, number of measures]; NaN where a measure is not defined.
        """
        ...
