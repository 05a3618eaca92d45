"""The arrays behind the pictures of the report: what was compared, in plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from biodata.chaos_game import fcgr
from biodata.codon import CODONS, genetic_code
from bioeval.metrics.calibration import FeatureSets
from bioeval.metrics.codon_usage import CodonUsage, rscu
from bioeval.metrics.composition import Composition
from bioeval.metrics.kmer import kmer_counts
from bioeval.metrics.nearest import NearestIdentity
from bioeval.metrics.persistence import PersistentHomology
from bioeval.metrics.protocol import Metric

if TYPE_CHECKING:
    from bioeval.sequences import Inputs, SequencesConfig

FCGR_K = 6


def draw_pictures(
    inputs: Inputs, metrics: list[Metric], features: list[FeatureSets], config: SequencesConfig
) -> dict[str, Any]:
    """The data of each picture: `fcgr`, and one entry for each metric that has something to draw.

    Args:
        inputs: generated, real and shuffled sequences.
        metrics: those that were computed.
        features: of every metric, in the same order.
        config: of the run; its `strands` decides how k-mers are drawn.
    """
    pictures: dict[str, Any] = {"fcgr": _fcgr(inputs, both_strands=config.strands == "both")}
    for metric, of in zip(metrics, features):
        if isinstance(metric, Composition):
            pictures["gc"] = _both(of, lambda f: _rounded(f[~np.isnan(f[:, 0]), 0]))
            pictures["length"] = _both(of, lambda f: f[:, 1].astype(int).tolist())
        elif isinstance(metric, PersistentHomology):
            pictures["persistence"] = _persistence(metric, of)
        elif isinstance(metric, CodonUsage):
            pictures["codon_usage"] = _codon_usage(metric, of)
        elif isinstance(metric, NearestIdentity):
            pictures["nearest"] = _both(of, lambda f: _rounded(f[:, 0])) | {
                "shuffled": _rounded(of.shuffled[:, 0])
            }
    return pictures


def _both(of: FeatureSets, take: Any) -> dict[str, Any]:
    return {"natural": take(of.reference), "generated": take(of.generated)}


def _fcgr(inputs: Inputs, *, both_strands: bool) -> dict[str, Any]:
    """Frequency matrices of the largest k up to 6 that leaves 4 windows a cell, at least 3."""
    smaller = min(int(s.lengths.sum()) for s in (inputs.generated, inputs.reference))
    k = max(3, min(FCGR_K, int(np.log2(max(smaller / 4, 1)) // 2)))
    matrices = {
        name: fcgr(kmer_counts(sequences, k, both_strands=both_strands)).tolist()
        for name, sequences in (("natural", inputs.reference), ("generated", inputs.generated))
    }
    return {"k": k, "corners": "A bottom left, C top left, G top right, T bottom right"} | matrices


def _persistence(metric: PersistentHomology, of: FeatureSets) -> dict[str, Any]:
    """Diagrams of two clouds of equal size, dimension to pairs of birth and death."""
    points = min(metric.points, int(of.reference.counts.sum()), int(of.generated.counts.sum()))

    def diagrams(cloud: Any) -> dict[str, Any]:
        found = metric.diagrams(cloud, points)
        return {str(dimension): _rounded(pairs) for dimension, pairs in found.items()}

    return {"points": points} | _both(of, diagrams)


def _codon_usage(metric: CodonUsage, of: FeatureSets) -> dict[str, Any]:
    code = genetic_code(metric.table)

    def usage(table: np.ndarray) -> dict[str, Any]:
        counts = table.sum(axis=0, dtype=np.int64)
        return {"counts": counts.tolist(), "rscu": _rounded(rscu(counts, table=metric.table))}

    return {"codons": list(CODONS), "residues": [code[c] for c in CODONS]} | _both(of, usage)


def _rounded(values: np.ndarray) -> Any:
    return np.round(values, 6).tolist()
