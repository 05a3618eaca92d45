"""Metrics of sets of sequences: one file each, every one calibrated against the reference itself.

To add a metric: one file with a class that satisfies `bioeval.metrics.protocol.Metric`, one line here. The
null interval, the scale (half against half, shuffled, generated), the results file and the report follow.
"""

from __future__ import annotations

from biodata.catalog import Catalog

METRICS = Catalog(
    "metric",
    {
        "codon-usage": "bioeval.metrics.codon_usage:CodonUsage",
        "composition": "bioeval.metrics.composition:Composition",
        "kmer": "bioeval.metrics.kmer:KmerDivergence",
        "nearest": "bioeval.metrics.nearest:NearestIdentity",
        "orf": "bioeval.metrics.orf:OrfValidity",
        "persistence": "bioeval.metrics.persistence:PersistentHomology",
    },
)
