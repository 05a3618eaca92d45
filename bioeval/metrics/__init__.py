"""Metrics of sets of sequences: one file each, every one calibrated against the reference itself.

To add a metric: one file with a class that satisfies `bioeval.metrics.protocol.Metric`, one line here. The
null interval, the scale (half against half, shuffled, generated), the results file and the report follow; its
`of_run` says to which sequences it applies.
"""

from __future__ import annotations

from biodata.catalog import Catalog

METRICS = Catalog(
    "metric",
    {
        "c4dr": "bioeval.metrics.c4dr:C4drHomology",
        "cai": "bioeval.metrics.cai:AdaptationIndex",
        "codon-usage": "bioeval.metrics.codon_usage:CodonUsage",
        "color-square": "bioeval.metrics.color_square:ColorSquareDistance",
        "composition": "bioeval.metrics.composition:Composition",
        "discriminator": "bioeval.metrics.discriminator:Discriminator",
        "diversity": "bioeval.metrics.diversity:Diversity",
        "entropy": "bioeval.metrics.entropy:Entropy",
        "fcgr": "bioeval.metrics.fcgr:FcgrDistance",
        "frechet": "bioeval.metrics.frechet:FrechetDistance",
        "genes": "bioeval.metrics.genes:Genes",
        "kmer": "bioeval.metrics.kmer:KmerDivergence",
        "longest-match": "bioeval.metrics.longest_match:LongestMatch",
        "mutual-information": "bioeval.metrics.mutual_information:MutualInformation",
        "nearest": "bioeval.metrics.nearest:NearestIdentity",
        "orf": "bioeval.metrics.orf:OrfValidity",
        "periodicity": "bioeval.metrics.periodicity:Periodicity",
        "persistence": "bioeval.metrics.persistence:PersistentHomology",
        "repeats": "bioeval.metrics.repeats:Repeats",
        "skew": "bioeval.metrics.skew:Skew",
        "wen": "bioeval.metrics.wen:WenDistance",
    },
)
