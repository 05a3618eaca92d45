"""Memorisation: the longest piece of each sequence that stands in the training set, beside what chance gives.

Source: of two texts of m and n independent letters the longest common piece has about log(m n) / log(1 / p)
letters, p the probability that two letters are alike (Arratia and Waterman 1985,
doi:10.1016/0001-8708(85)90003-9); log4(m n) where the four letters are equally common. A piece twice as long
is no accident - but genes have relatives, so it is read beside the same number of held-out natural sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.errors import ConfigError
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting
from bioeval.metrics.suffixes import longest_matches, longest_of_rows

FLAG = 2.0
"""So many times the length by chance is flagged."""


def chance_length(queries: SequenceSet, targets: SequenceSet) -> np.ndarray:
    """Letters of the longest piece that each query shares by chance with the targets, float64 [n], at least
    1.

    Args:
        queries: the sequences that are asked about.
        targets: all training sequences.

    >>> one, many = (SequenceSet.from_strings(["ACGT" * n]) for n in (4, 1024))
    >>> chance_length(one, many).tolist()
    [8.0]
    """
    counts = [_letters(s) for s in (queries, targets)]
    shares = [c / max(c.sum(), 1) for c in counts]
    alike = float(np.clip((shares[0] * shares[1]).sum(), 1e-9, 1 - 1e-9))
    size = np.maximum(queries.lengths, 1) * max(counts[1].sum(), 1)
    return np.maximum(np.log(size) / np.log(1 / alike), 1.0)


def _letters(sequences: SequenceSet) -> np.ndarray:
    return np.bincount(sequences.codes, minlength=sequences.other + 1)[: sequences.other].astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LongestMatch:
    """Longest exact match with the training set: median and largest, and how many are twice beyond chance.

    Attributes:
        train: the training sequences, at least one.
        prompt: letters at the start that were given, not generated: left out of what is looked for.
    """

    train: SequenceSet
    prompt: int = 0

    def __post_init__(self) -> None:
        if not len(self.train):
            raise ConfigError("0 training sequences: at least 1")

    @classmethod
    def of_run(cls, setting: Setting) -> list[LongestMatch]:
        """With training sequences."""
        return [cls(train=setting.need_train(), prompt=setting.prompt)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        said = {
            "longest_match_median": ("letters", "Longest exact match with the training set, median"),
            "longest_match_max": ("letters", "Longest exact match with the training set, largest"),
            "longest_match_flagged": ("%", "Longest exact match at least twice that of chance"),
        }
        # held-out natural sequences have relatives in training, so shuffling says nothing about power
        common = {"kind": "share", "kept_by_shuffling": True}
        return tuple(Measure(name=n, unit=u, title=t, **common) for n, (u, t) in said.items())

    def features(self, sequences: SequenceSet) -> np.ndarray:
        sequences = sequences.after(self.prompt)
        longest = longest_of_rows(sequences, longest_matches(sequences, self.train))
        return np.stack([longest, longest / chance_length(sequences, self.train)], axis=1)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        chosen = [first[row] for row in rows]
        return np.array([
            (np.median(c[:, 0]), c[:, 0].max(), 100 * (c[:, 1] >= FLAG).mean()) for c in chosen
        ])  # fmt: skip
