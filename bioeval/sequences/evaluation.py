"""`eval sequences`: generated against natural sequences, every number beside its null and its scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from biodata.files import write_json
from biodata.progress import progress
from bioeval.folders import check_out
from bioeval.metrics import METRICS
from bioeval.metrics.calibration import FeatureSets, calibrate, random_splits, usable_families
from bioeval.metrics.counting import letter_table
from bioeval.metrics.nearest import NearestIdentity, nearest_method
from bioeval.metrics.orf import orf_checks
from bioeval.metrics.protocol import Metric
from bioeval.metrics.sequence_set import NUCLEOTIDES, SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting
from bioeval.sequences.canaries import find_canaries
from bioeval.sequences.cautions import find_cautions
from bioeval.sequences.config import SequencesConfig
from bioeval.sequences.inputs import (
    Loaded,
    Reading,
    check_column,
    folder_of,
    input_fingerprint,
    letters_of,
    read_set,
)
from bioeval.sequences.pictures import draw_pictures
from bioeval.sequences.screening import NOT_SCREENED, screen

__all__ = ["Inputs", "SequencesConfig", "evaluate_sequences"]

RESULTS_FILE, PICTURES_FILE = "results.json", "pictures.json"
MIN_GENERATED, MIN_REFERENCE = 2, 4
_PATHS = ("generated", "reference", "train", "canaries")
CODING_SHARE = 0.5
"""A reference of which at least this share are valid open reading frames is taken for coding sequences."""


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
        `bioeval.metrics.calibration.calibrate`), `not_run{family: reason}`,
        `nearest_training_identity{median, max, ...}` as fractions, `canaries`, `screening{status, ...}`
        (see `bioeval.sequences.screening.screen`), `n_generated`, `n_reference`, `n_train` (sequences used),
        `found` and `dropped{input: {rule: n}}` (records in the inputs, and those that could not be read),
        `coding`, `null` (whether halves are made of whole families or of single sequences), `settings`,
        `inputs`, `warnings`.

    Raises:
        ConfigError: an input does not exist, `out` holds other files, or no metric applies.
        FetchError: an input is a source name and cannot be fetched.
        DataError: fewer than 2 generated or 4 reference sequences, or letters that the alphabet lacks.
        SeqloomError: the screener failed or said nothing that can be understood.
    """
    check_out(config.out, command="eval sequences", key="metrics", parts=(PICTURES_FILE,))
    config = _resolved(config)
    check_column([path for path in _paths(config).values() if path is not None], config.sequence_column)
    inputs, counts = _read(config)
    canaries, screening = _canaries(config, inputs), _screened(config, inputs)
    metrics, not_run = build_metrics(config, inputs)
    features, results = _measure(config, metrics, inputs)
    out = {
        "metrics": results, "not_run": not_run,
        "nearest_training_identity": _nearest(metrics, features, inputs),
        "canaries": canaries,
        "screening": screening,
        "n_generated": len(inputs.generated), "n_reference": len(inputs.reference),
        "n_train": len(inputs.train) if inputs.train is not None else 0,
        **counts, "coding": inputs.coding,
        "null": "families" if inputs.families is not None else "sequences", "settings": _settings(config),
        "inputs": _fingerprints(config), "warnings": find_cautions(config, inputs),
    }  # fmt: skip
    out = _without_nan(out)
    write_json(config.out / PICTURES_FILE, _without_nan(draw_pictures(inputs, metrics, features, config)))
    write_json(config.out / RESULTS_FILE, out)  # last: its presence means that all is there
    return out


def _resolved(config: SequencesConfig) -> SequencesConfig:
    """The configuration with folders in the place of source names, as `data build` finds them."""
    given = {name: path for name, path in _paths(config).items() if path is not None}
    return replace(config, **{k: folder_of(v, alphabet=config.alphabet) for k, v in given.items()})


def _paths(config: SequencesConfig) -> dict[str, Path | None]:
    return {name: getattr(config, name) for name in _PATHS}


def _read(config: SequencesConfig) -> tuple[Inputs, dict[str, dict[str, Any]]]:
    """The sets, how many sequences were found for each, and how many records of each could not be read."""
    letters = letters_of(config.reference, "test", config.alphabet, column=config.sequence_column)
    reading = Reading(letters, config.sequence_column)

    def read(path: Path, split: str, limit: int) -> Loaded:
        return read_set(path, split=split, limit=limit, seed=config.seed, reading=reading)

    loaded = {
        "generated": read(config.generated, "test", config.max_sequences),
        "reference": read(config.reference, "test", config.max_sequences),
    }
    generated, reference, train = loaded["generated"].sequences, loaded["reference"].sequences, None
    _require(generated, MIN_GENERATED, "generated", config.generated)
    if config.prompt and config.prompt >= generated.lengths.max():
        longest = f"the longest generated sequence has {generated.lengths.max():,} letters"
        raise ConfigError(f"prompt = {config.prompt}: {longest}, so nothing was generated")
    _require(reference, MIN_REFERENCE, "reference", config.reference)
    if config.train is not None:
        loaded["train"] = read(config.train, "train", config.max_train)
        train = loaded["train"].sequences
        _require(train, 1, "training", config.train)
    coding = config.coding == "yes"
    if config.coding == "auto" and letters == NUCLEOTIDES:
        coding = bool(orf_checks(reference, table=config.table)[:, 0].mean() >= CODING_SHARE)
    families = loaded["reference"].families
    counts = {name: {k: getattr(v, name) for k, v in loaded.items()} for name in ("found", "dropped")}
    return Inputs(
        generated=generated, reference=reference, shuffled=reference.shuffled(config.seed), train=train,
        coding=coding, families=families if usable_families(families) else None,
    ), counts  # fmt: skip


def _require(sequences: SequenceSet, least: int, what: str, path: Path) -> None:
    usable = int((letter_table(sequences).sum(axis=1) > 0).sum())
    if usable < least:
        plural = "" if usable == 1 else "s"
        raise DataError(f"{usable} {what} sequence{plural} with letters", where=path,
                        hint=f"at least {least} are needed")  # fmt: skip


def _every_generated(config: SequencesConfig, inputs: Inputs) -> SequenceSet:
    """All generated sequences, also those that were not drawn."""
    if not config.max_sequences:
        return inputs.generated
    reading = Reading(inputs.generated.letters, config.sequence_column)
    return read_set(config.generated, split="test", limit=0, seed=0, reading=reading).sequences


def _screened(config: SequencesConfig, inputs: Inputs) -> dict[str, Any]:
    if config.screen is None:
        return NOT_SCREENED
    return screen(_every_generated(config, inputs), config.screen, timeout=config.screen_timeout)


def _canaries(config: SequencesConfig, inputs: Inputs) -> dict[str, Any] | None:
    if config.canaries is None:
        return None
    made = _every_generated(config, inputs).after(config.prompt)
    return find_canaries(config.canaries, made, column=config.sequence_column)


def build_metrics(config: SequencesConfig, inputs: Inputs) -> tuple[list[Metric], dict[str, str]]:
    """The metrics that apply, and why the others were not run, by the name of their family."""
    setting = Setting(
        generated=inputs.generated, reference=inputs.reference, train=inputs.train, coding=inputs.coding,
        table=config.table, kmers=config.kmers, alpha=config.alpha, both_strands=config.strands == "both",
        points=config.persistence_points, resamples=config.persistence_resamples,
        distance=config.persistence_distance, embed=_embedder(config), prompt=config.prompt,
        seed=config.seed,
    )  # fmt: skip
    metrics: list[Metric] = []
    not_run = {name: "not chosen (--metrics)" for name in METRICS if name not in config.chosen}
    for name in METRICS:
        if name in not_run:
            continue
        try:
            metrics += METRICS.load(name).of_run(setting)
        except NotApplicableError as reason:
            not_run[name] = str(reason)
    if not metrics:
        why = "; ".join(f"{name}: {not_run[name]}" for name in dict.fromkeys(config.chosen))
        raise ConfigError(f"metrics = {','.join(config.metrics)}: none can be computed ({why})")
    return metrics, dict(sorted(not_run.items()))


def _embedder(config: SequencesConfig) -> Any:
    if config.model is None or "frechet" not in config.chosen:
        return None
    from bioeval.backends import open_model

    return open_model(config.model).embed


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


def _settings(config: SequencesConfig) -> dict[str, Any]:
    names = ("alphabet", "sequence_column", "metrics", "kmers", "alpha", "strands", "coding", "table",
             "resamples", "persistence_points", "persistence_resamples", "persistence_distance", "prompt",
             "max_sequences", "max_train", "seed")  # fmt: skip
    values = {name: getattr(config, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _fingerprints(config: SequencesConfig) -> dict[str, dict[str, str]]:
    column = config.sequence_column
    return {n: input_fingerprint(p, column=column) for n, p in _paths(config).items() if p is not None}


def _without_nan(value: Any) -> Any:
    """The value with every number that JSON cannot hold as null."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
