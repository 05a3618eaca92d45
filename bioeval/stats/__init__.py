"""Statistics of scores: what may be said of a number and of a difference between two models.

`bootstrap` gives a score its interval, `paired` compares two models on the same items, `multiple` corrects
for many tests, `ranks` says which places of a ranking are open, `power` which differences a test set can
show, and `repeated` what the mean over repeated splits is worth. Formulas and sources stand there.
"""

from __future__ import annotations

from bioeval.stats.bootstrap import Groups, Interval, Resampling, interval
from bioeval.stats.multiple import benjamini_hochberg, holm
from bioeval.stats.paired import Comparison, compare
from bioeval.stats.power import detectable_difference
from bioeval.stats.ranks import Standing, joint_draws, standings
from bioeval.stats.repeated import RepeatedSplits, corrected_interval, resplits

__all__ = [
    "Comparison", "Groups", "Interval", "RepeatedSplits", "Resampling", "Standing", "benjamini_hochberg",
    "compare", "corrected_interval", "detectable_difference", "holm", "interval", "joint_draws", "resplits",
    "standings",
]  # fmt: skip
