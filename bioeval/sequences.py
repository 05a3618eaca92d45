"""`eval sequences`: generated against natural sequences, every number beside its null and its scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biodata.codon import genetic_code
from biodata.errors import ConfigError, DataError
from biodata.files import write_json
from biodata.progress import progress
from bioeval.metrics import METRICS
from bioeval.metrics.calibration import FeatureSets, calibrate, random_splits, usable_families
from bioeval.metrics.kmer import MAX_K, WINDOWS_PER_KMER, KmerDivergence
from bioeval.metrics.nearest import NearestIdentity, nearest_method
from bioeval.metrics.orf import orf_checks
from bioeval.metrics.protocol import Metric
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.sequence_inputs import Loaded, input_fingerprint, read_set
from bioeval.sequence_pictures import draw_pictures

RESULTS_FILE, PICTURES_FILE = "results.json", "pictures.json"
MIN_GENERATED, MIN_REFERENCE = 2, 4
CODING_SHARE = 0.5
"""A reference of which at least this share are valid open reading frames is taken for coding sequences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencesConfig:
    """What is compared with what, and how finely."""

    generated: Path = field(metadata={"help": "generated sequences: FASTA, Parquet or dataset folder"})
    reference: Path = field(
        metadata={"help": "held-out natural sequences: FASTA, Parquet or dataset folder (its test split)"}
    )
    train: Path | None = field(
        default=None,
        metadata={
            "help": "training sequences, to see copying: FASTA, Parquet or dataset folder (its train split)"
        },
    )
    out: Path = field(metadata={"help": "folder for results.json and pictures.json"})
    metrics: tuple[str, ...] = field(
        default=tuple(METRICS), metadata={"help": "families of metrics: " + ", ".join(METRICS)}
    )
    kmers: tuple[int, ...] = field(
        default=(1, 2, 3, 4, 5, 6),
        metadata={"help": f"k of the k-mer divergences, each 1 to {MAX_K} letters"},
    )
    alpha: float = field(default=0.5, metadata={"help": "pseudo-count a k-mer or codon, above 0"})
    strands: Literal["given", "both"] = field(
        default="given",
        metadata={"help": "k-mers and chaos game of the strand given, or of both (genomic pieces)"},
    )
    coding: Literal["auto", "yes", "no"] = field(
        default="auto", metadata={"help": "codon usage and reading frames: auto looks at the reference"}
    )
    table: int = field(default=1, metadata={"help": "NCBI translation table, by number"})
    resamples: int = field(default=200, metadata={"help": "random splits of each null, at least 20"})
    persistence_points: int = field(default=2000, metadata={"help": "points a chaos-game cloud, at least 10"})
    persistence_resamples: int = field(
        default=25, metadata={"help": "random splits of the persistence null, at least 20"}
    )
    max_sequences: int = field(
        default=1000, metadata={"help": "sequences drawn of the generated and of the reference, 0 takes all"}
    )
    max_train: int = field(default=20000, metadata={"help": "training sequences drawn, 0 takes all"})
    seed: int = field(default=0, metadata={"help": "of every random draw, 0 or more"})

    def __post_init__(self) -> None:
        for name in self.metrics:
            METRICS.resolve(name)
        genetic_code(self.table)
        for k in self.kmers:
            KmerDivergence(k=k, alpha=self.alpha)
        for name, least in (("resamples", 20), ("persistence_resamples", 20), ("persistence_points", 10),
                            ("max_sequences", 0), ("max_train", 0), ("seed", 0)):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is out of range, allowed: at least {least}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The sets that are compared.

    `shuffled` is the reference with every sequence's letters shuffled, `families` the clusters of the
    reference where they are known and fit to be split whole.
    """

    generated: SequenceSet
    reference: SequenceSet
    shuffled: SequenceSet
    train: SequenceSet | None
    families: np.ndarray | None
    coding: bool


def evaluate_sequences(config: SequencesConfig) -> dict[str, Any]:
    """Compares generated with natural sequences and writes `results.json` and `pictures.json`.

    Returns:
        What `results.json` holds: `metrics{name: {value, unit, null_lo, null_hi, ...}}` (see
        `bioeval.metrics.calibration.calibrate`), `nearest_training_identity{median, max, ...}` as fractions,
        `n_generated`, `n_reference`, `n_train` (sequences used), `coding`, `null` (whether halves are
        made of whole families or of single sequences), `settings`, `inputs`, `warnings`.

    Raises:
        ConfigError: an input does not exist.
        DataError: fewer than 2 generated or 4 reference sequences, or letters that are no nucleotides.
    """
    inputs, found = _read(config)
    metrics = _build_metrics(config, inputs)
    features, results = _measure(config, metrics, inputs)
    out = {
        "metrics": results,
        "nearest_training_identity": _nearest(metrics, features, inputs),
        "n_generated": len(inputs.generated), "n_reference": len(inputs.reference),
        "n_train": len(inputs.train) if inputs.train is not None else 0,
        "found": found, "coding": inputs.coding,
        "null": "families" if inputs.families is not None else "sequences", "settings": _settings(config),
        "inputs": _fingerprints(config), "warnings": _warnings(config, inputs),
    }  # fmt: skip
    out = _without_nan(out)
    write_json(config.out / PICTURES_FILE, _without_nan(draw_pictures(inputs, metrics, features, config)))
    write_json(config.out / RESULTS_FILE, out)  # last: its presence means that all is there
    return out


def _read(config: SequencesConfig) -> tuple[Inputs, dict[str, int]]:
    def read(path: Path, split: str, limit: int) -> Loaded:
        return read_set(path, split=split, limit=limit, seed=config.seed)

    generated, n_generated, _ = read(config.generated, "test", config.max_sequences)
    reference, n_reference, families = read(config.reference, "test", config.max_sequences)
    _require(generated, MIN_GENERATED, "generated", config.generated)
    _require(reference, MIN_REFERENCE, "reference", config.reference)
    found, train = {"generated": n_generated, "reference": n_reference}, None
    if config.train is not None:
        train, found["train"], _ = read(config.train, "train", config.max_train)
        _require(train, 1, "training", config.train)
    coding = config.coding == "yes"
    if config.coding == "auto":
        coding = bool(orf_checks(reference, table=config.table)[:, 0].mean() >= CODING_SHARE)
    shuffled = reference.shuffled(config.seed)
    return Inputs(
        generated=generated,
        reference=reference,
        shuffled=shuffled,
        train=train,
        coding=coding,
        families=families if usable_families(families) else None,
    ), found


def _require(sequences: SequenceSet, least: int, what: str, path: Path) -> None:
    usable = int((sequences.lengths > 0).sum())
    if usable < least:
        plural = "" if usable == 1 else "s"
        raise DataError(f"{usable} {what} sequence{plural} with letters", where=path,
                        hint=f"at least {least} are needed")  # fmt: skip


def _build_metrics(config: SequencesConfig, inputs: Inputs) -> list[Metric]:
    """The metrics that apply: codon metrics to coding sequences, nearest only with a training set."""
    both = config.strands == "both"
    options: dict[str, list[dict[str, Any]]] = {
        "composition": [{}],
        "kmer": [{"k": k, "alpha": config.alpha, "both_strands": both} for k in config.kmers],
        "persistence": [{"points": config.persistence_points, "resamples": config.persistence_resamples,
                         "both_strands": both, "seed": config.seed}],
        "codon-usage": [{"table": config.table, "alpha": config.alpha}] if inputs.coding else [],
        "orf": [{"table": config.table}] if inputs.coding else [],
        "nearest": [{"train": inputs.train}] if inputs.train is not None else [],
    }  # fmt: skip
    chosen = {METRICS.resolve(name) for name in config.metrics}
    return [METRICS.load(name)(**values) for name in options if name in chosen for values in options[name]]


def _measure(
    config: SequencesConfig, metrics: list[Metric], inputs: Inputs
) -> tuple[list[FeatureSets], dict[str, dict[str, Any]]]:
    sizes = len(inputs.generated), len(inputs.reference)
    splits = random_splits(
        sizes[1], sizes[0], resamples=config.resamples, seed=config.seed, families=inputs.families
    )
    features, results = [], {}
    with progress("sequence metrics", len(metrics)) as advance:
        for metric in metrics:
            of = FeatureSets(*(metric.features(s) for s in _three(inputs)))
            features.append(of)
            for result in calibrate(metric, of, sizes=sizes, splits=splits):
                results[result.pop("name")] = result
            advance(1)
    return features, results


def _three(inputs: Inputs) -> tuple[SequenceSet, SequenceSet, SequenceSet]:
    return inputs.generated, inputs.reference, inputs.shuffled


def _nearest(metrics: list[Metric], features: list[FeatureSets], inputs: Inputs) -> dict[str, Any]:
    for metric, of in zip(metrics, features):
        if isinstance(metric, NearestIdentity):
            generated, reference = of.generated[:, 0], of.reference[:, 0]
            return {
                "median": float(np.median(generated)), "max": float(generated.max()),
                "reference_median": float(np.median(reference)), "reference_max": float(reference.max()),
                "exact_copies": int((generated == 1).sum()),
                "definition": "1 - edit distance / length of the longer",
                "method": nearest_method(inputs.generated, metric),
            }  # fmt: skip
    return {"median": None, "max": None, "method": "not computed: no training sequences were given"}


def _warnings(config: SequencesConfig, inputs: Inputs) -> list[str]:
    """What makes a value weaker than it looks, in words."""
    windows = min(int(s.lengths.sum()) for s in (inputs.generated, inputs.reference))
    few = [k for k in config.kmers if "kmer" in config.metrics and 4**k * WINDOWS_PER_KMER > windows]
    messages = []
    if few:
        names = ", ".join(str(k) for k in few)
        messages.append(
            f"k = {names}: fewer than {WINDOWS_PER_KMER} windows a k-mer, so sampling noise is a large part "
            f"of the divergence; read it only beside its null"
        )
    if len(inputs.reference) < 40:
        messages.append(f"{len(inputs.reference)} reference sequences make a coarse null: give 40 or more")
    empty = int((inputs.generated.lengths == 0).sum())
    if empty:
        messages.append(f"{empty} of {len(inputs.generated)} generated sequences are empty")
    return messages


def _settings(config: SequencesConfig) -> dict[str, Any]:
    names = ("metrics", "kmers", "alpha", "strands", "coding", "table", "resamples", "persistence_points",
             "persistence_resamples", "max_sequences", "max_train", "seed")  # fmt: skip
    values = {name: getattr(config, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _fingerprints(config: SequencesConfig) -> dict[str, dict[str, str]]:
    paths = {"generated": config.generated, "reference": config.reference, "train": config.train}
    return {name: input_fingerprint(path) for name, path in paths.items() if path is not None}


def _without_nan(value: Any) -> Any:
    """The value with every number that JSON cannot hold as null."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
