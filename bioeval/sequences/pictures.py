"""The arrays behind the pictures of the report: what was compared, in plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from biodata.chaos_game import fcgr
from biodata.codon import CODONS, genetic_code
from bioeval.metrics.calibration import FeatureSets
from bioeval.metrics.codon_usage import CodonUsage, rscu
from bioeval.metrics.color_square import ColorSquareDistance, squares
from bioeval.metrics.composition import Composition
from bioeval.metrics.fcgr import FcgrDistance
from bioeval.metrics.longest_match import LongestMatch
from bioeval.metrics.mutual_information import MutualInformation
from bioeval.metrics.nearest import NearestIdentity
from bioeval.metrics.periodicity import Periodicity
from bioeval.metrics.persistence import PersistentHomology
from bioeval.metrics.protocol import Metric
from bioeval.metrics.skew import Skew

if TYPE_CHECKING:
    from bioeval.sequences.evaluation import Inputs, SequencesConfig

SQUARES = 3
"""Colour squares that are shown of each set."""


def draw_pictures(
    inputs: Inputs, metrics: list[Metric], features: list[FeatureSets], config: SequencesConfig
) -> dict[str, Any]:
    """The data of each picture, one entry for each metric that has something to draw.

    Args:
        inputs: generated, real and shuffled sequences.
        metrics: those that were computed.
        features: of every metric, in the same order.
        config: of the run; its `strands` decides how k-mers are drawn.
    """
    pictures: dict[str, Any] = {}
    for metric, of in zip(metrics, features):
        if isinstance(metric, Composition):
            if metric.gc:
                pictures["gc"] = _both(of, lambda f: _rounded(f[~np.isnan(f[:, 0]), 0]))
            pictures["length"] = _both(of, lambda f: f[:, 1].astype(int).tolist())
        elif type(metric) in _DRAWN:
            key, draw = _DRAWN[type(metric)]
            pictures[key] = draw(metric, of, inputs)
    return pictures


def _both(of: FeatureSets, take: Any) -> dict[str, Any]:
    return {"natural": take(of.reference), "generated": take(of.generated)}


def _with_shuffled(of: FeatureSets, take: Any) -> dict[str, Any]:
    return _both(of, take) | {"shuffled": take(of.shuffled)}


def _fcgr(metric: FcgrDistance, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    matrices = _both(of, lambda table: fcgr(table.sum(axis=0, dtype=np.int64)).tolist())
    return {"k": metric.k, "corners": "A bottom left, C top left, G top right, T bottom right"} | matrices


def _persistence(metric: PersistentHomology, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    """Diagrams of two clouds of equal size, dimension to pairs of birth and death."""
    points = min(metric.points, int(of.reference.counts.sum()), int(of.generated.counts.sum()))

    def diagrams(cloud: Any) -> dict[str, Any]:
        found = metric.diagrams(cloud, points)
        return {str(dimension): _rounded(pairs) for dimension, pairs in found.items()}

    return {"points": points} | _both(of, diagrams)


def _nearest(metric: NearestIdentity, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    return _with_shuffled(of, lambda f: _rounded(f[:, 0]))


def _longest(metric: LongestMatch, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    return _with_shuffled(of, lambda f: _rounded(f[:, 1]))


def _period(metric: Periodicity, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    return _with_shuffled(of, lambda f: _rounded(f[~np.isnan(f)]))


def _skew(metric: Skew, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    return _both(of, lambda f: _rounded(f[~np.isnan(f[:, 0]), 0]))


def _information(metric: MutualInformation, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    def profile(features: np.ndarray) -> Any:
        found = metric.profiles(features, np.ones((1, len(features)), dtype=bool))[0]
        return [None if np.isnan(v) else round(1000 * float(v), 4) for v in found]

    return {"distances": list(metric.distances)} | _with_shuffled(of, profile)


def _squares(metric: ColorSquareDistance, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    def first(sequences: Any) -> Any:
        some = sequences.take(np.arange(min(SQUARES, len(sequences))))
        return squares(some, metric.side).tolist()

    return {"side": metric.side, "natural": first(inputs.reference), "generated": first(inputs.generated)}


def _codon_usage(metric: CodonUsage, of: FeatureSets, inputs: Inputs) -> dict[str, Any]:
    code = genetic_code(metric.table)

    def usage(table: np.ndarray) -> dict[str, Any]:
        counts = table.sum(axis=0, dtype=np.int64)
        return {"counts": counts.tolist(), "rscu": _rounded(rscu(counts, table=metric.table))}

    return {"codons": list(CODONS), "residues": [code[c] for c in CODONS]} | _both(of, usage)


def _rounded(values: np.ndarray) -> Any:
    return np.round(values, 6).tolist()


_DRAWN: dict[type, tuple[str, Any]] = {
    CodonUsage: ("codon_usage", _codon_usage),
    ColorSquareDistance: ("color_square", _squares),
    FcgrDistance: ("fcgr", _fcgr),
    LongestMatch: ("longest_match", _longest),
    MutualInformation: ("mutual_information", _information),
    NearestIdentity: ("nearest", _nearest),
    Periodicity: ("period3", _period),
    PersistentHomology: ("persistence", _persistence),
    Skew: ("gc_skew", _skew),
}
