"""`eval distances`: distances within and between groups of sequences, with controls, a heat map and a
tree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biodata.errors import ConfigError, DataError
from biodata.files import write_json, write_text
from biodata.progress import say
from bioeval.distances.matrix import INTERVAL, Distances, measure_distances, parents_test
from bioeval.distances.page import markdown, page
from bioeval.distances.tree import TreeKind, make_tree, newick, supports
from bioeval.distances.windows import Group, parse_group, read_groups
from bioeval.folders import check_out
from bioeval.metrics import METRICS
from bioeval.metrics.kmer import KmerDivergence
from bioeval.metrics.protocol import Metric
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.sequences.inputs import check_column, input_fingerprint

SIGNIFICANT = 0.05
_LEAST = (("window", 0), ("windows", 8), ("resamples", 20), ("permutations", 0), ("seed", 0))
_FAMILIES = ("fcgr", "persistence", "c4dr", "frechet", "mutual-information", "composition", "skew",
             "periodicity", "color-square", "wen", "codon-usage")  # fmt: skip
_OF_CODONS = ("codon_usage_jsd", "synonymous_jsd")
_NEVER = "length_wasserstein"
"""All windows have one length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistancesConfig:
    """Which groups are compared, and how."""

    groups: tuple[str, ...] = field(
        metadata={
            "help": "[PARENT/]NAME=PATH[,PATH...] or PATH: file, folder or pattern of any format that "
            "`data build` reads, or dataset"
        }
    )
    out: Path = field(metadata={"help": "folder for results.json, results.md and report.html"})
    measure: str = field(
        default="kmer_jsd_k4",
        metadata={"help": "a distance of docs/metrics.md, such as kmer_jsd_k4, fcgr_dssim, persistence_h1"},
    )
    window: int = field(
        default=0, metadata={"help": "letters of a window; 0: the longest of which every group has enough"}
    )
    windows: int = field(default=200, metadata={"help": "windows drawn of each group, at least 8"})
    sequence_column: str = field(
        default="", metadata={"help": "column of tables with the sequences; empty: sequence, seq, cds, ..."}
    )
    strands: Literal["given", "both"] = field(
        default="both", metadata={"help": "strands that are counted, where the measure knows strands"}
    )
    tree: TreeKind = field(default="average", metadata={"help": "average linkage or neighbour joining"})
    resamples: int = field(default=100, metadata={"help": "draws of half of the windows, at least 20"})
    permutations: int = field(
        default=999, metadata={"help": "permutations of each test, 0 for none, else at least 19"}
    )
    seed: int = field(default=0, metadata={"help": "of every random draw, 0 or more"})

    def __post_init__(self) -> None:
        if len(self.groups) < 2:
            raise ConfigError(f"{len(self.groups)} group: distances need two or more")
        names = [parse_group(text).full for text in self.groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"two groups are named {twice[0]!r}: name them with NAME=PATH")
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is out of range, allowed: at least {least}"
                )
        if 0 < self.permutations < 19 or 0 < self.window < 20:
            raise ConfigError(
                f"permutations = {self.permutations}, window = {self.window}: allowed are 0 or at least 19, "
                "0 or at least 20"
            )
        find_measure(self)
        if self.window % self.multiple:
            raise ConfigError(
                f"window = {self.window} is no multiple of 3: windows would leave the reading frame that "
                f"{self.measure} is of"
            )

    @property
    def multiple(self) -> int:
        """What the letters of a window are a multiple of: 3 where codons are read."""
        return 3 if self.measure in _OF_CODONS else 1


def evaluate_distances(config: DistancesConfig) -> dict[str, Any]:
    """Compares groups and writes `results.json`, `results.md` and `report.html`.

    Returns:
        What `results.json` holds: `measure`, `unit`, `window`, `windows` (of each group), `groups[]{name,
        sequences, letters, within{mean, lo, hi}}`, `pairs[]{a, b, distance{mean, lo, hi}, net, p_value,
        p_adjusted}`, `parents` (see `parents_test`), `tree{kind, newick}`, `warnings`.

    Raises:
        ConfigError: a file is not there, no such measure, or `out` holds other files.
        DataError: a group with too few windows, or windows of which the measure says nothing.
    """
    check_out(config.out, command="eval distances", key="pairs", parts=("results.md",))
    names, chosen = [parse_group(text) for text in config.groups], config.sequence_column
    check_column([path for name in names for path in name.paths], chosen)
    window, groups = read_groups(
        names, window=config.window, windows=config.windows, seed=config.seed, column=chosen,
        multiple=config.multiple,
    )  # fmt: skip
    metric, column = find_measure(config)
    texts = [text for group in groups for text in group.windows.strings()]
    labels = np.repeat(np.arange(len(groups)), len(groups[0].windows))
    say(f"{len(groups)} groups, {len(groups[0].windows)} windows of {window:,} letters each")
    found = measure_distances(
        metric, metric.features(SequenceSet.from_strings(texts)), labels, column=column,
        draws=(config.resamples, config.permutations, config.seed),
    )  # fmt: skip
    _require_values(config, found, [name.full for name in names], window)
    result = _result(config, groups, found, window)
    write_text(config.out / "results.md", markdown(result))
    write_text(config.out / "report.html", page(result))
    write_json(config.out / "results.json", result)
    return result


def _require_values(config: DistancesConfig, found: Distances, names: list[str], window: int) -> None:
    undefined = np.argwhere(np.isnan(found.values).any(axis=0))
    if len(undefined):
        a, b = (names[i] for i in undefined[0])
        where = f"within group {a!r}" if a == b else f"between groups {a!r} and {b!r}"
        raise DataError(f"{config.measure} has no value {where} at windows of {window:,} letters",
                        hint="they are too short for it, or lack the letters it looks at")  # fmt: skip


def find_measure(config: DistancesConfig) -> tuple[Metric, int]:
    """The metric that gives a measure, and the place of the measure in it.

    Raises:
        ConfigError: there is none of this name, or it is no distance.
    """
    both = config.strands == "both"
    candidates: list[Metric] = []
    if kmer := re.fullmatch(r"kmer_(?:jsd|kl)_k(\d+)", config.measure):
        candidates.append(KmerDivergence(k=int(kmer[1]), both_strands=both))
    known = [f"kmer_jsd_k{k}" for k in (1, 2, 3, 4, 5, 6)]
    for family in _FAMILIES:
        kind = METRICS.load(family)
        given: dict[str, Any] = {"both_strands": both, "resamples": config.resamples + config.permutations}
        known_fields = kind.__dataclass_fields__
        candidates.append(kind(**{k: v for k, v in given.items() if k in known_fields}))
    for metric in candidates:
        for column, measure in enumerate(metric.measures):
            if measure.kind != "distance" or measure.name == _NEVER:
                continue
            known.append(measure.name)
            if measure.name == config.measure:
                return metric, column
    names = ", ".join(dict.fromkeys(known))
    raise ConfigError(f"measure = {config.measure!r} is no distance that is known (known: {names})")


def _result(config: DistancesConfig, groups: list[Group], found: Distances, window: int) -> dict[str, Any]:
    metric, column = find_measure(config)
    measure = metric.measures[column]
    names = [group.name.full for group in groups]
    net = found.net
    tree = make_tree(net, config.tree)
    support = supports(found.values, tree, config.tree)
    rows = range(len(groups))
    return {
        "measure": measure.name, "title": measure.title, "unit": measure.unit, "window": window,
        "windows": len(groups[0].windows), "resamples": config.resamples, "permutations": config.permutations,
        "groups": [_described(groups[i], found.values[:, i, i]) for i in rows],
        "pairs": [_pair(names, found, net, i, j) for i in rows for j in rows if i < j],
        "matrix": found.mean.tolist(), "net_matrix": net.tolist(),
        "parents": parents_test(net, [g.name.parent for g in groups],
                                permutations=config.permutations or 999, seed=config.seed),
        "tree": {"kind": config.tree, "newick": newick(tree, names, support)},
        "correction": "Holm", "warnings": _warnings(config, groups, found),
        "settings": {"strands": config.strands, "window": config.window, "windows": config.windows,
                     "seed": config.seed},
        "inputs": {g.name.full: [input_fingerprint(path, column=config.sequence_column)
                                 for path in g.name.paths] for g in groups},
    }  # fmt: skip


def _described(group: Group, within: np.ndarray) -> dict[str, Any]:
    return {
        "name": group.name.full, "parent": group.name.parent, "sequences": group.sequences,
        "letters": group.letters, "windows_available": group.available, "within": _spread(within),
    }  # fmt: skip


def _pair(names: list[str], found: Distances, net: np.ndarray, i: int, j: int) -> dict[str, Any]:
    p, adjusted = (None if np.isnan(m[i, j]) else float(m[i, j]) for m in (found.p_values, found.adjusted))
    return {
        "a": names[i], "b": names[j], "distance": _spread(found.values[:, i, j]), "net": float(net[i, j]),
        "p_value": p, "p_adjusted": adjusted,
        "different": None if adjusted is None else adjusted <= SIGNIFICANT,
    }  # fmt: skip


def _spread(values: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(values, INTERVAL)
    return {"mean": float(values.mean()), "lo": float(low), "hi": float(high)}


def _warnings(config: DistancesConfig, groups: list[Group], found: Distances) -> list[str]:
    messages = []
    few = [g.name.full for g in groups if len(np.unique(g.sources)) < len(g.sources)]
    if few and config.permutations:
        messages.append(
            f"several windows are of one sequence in {', '.join(few)}: p-values take them as independent, so "
            "they say that these sequences differ, not that their species do"
        )
    pairs = len(groups) * (len(groups) - 1) // 2
    if config.permutations and pairs / (1 + config.permutations) > SIGNIFICANT:
        messages.append(
            f"{config.permutations} permutations cannot show a difference between any of {pairs} pairs after "
            f"correction: give at least {int(pairs / SIGNIFICANT)}"
        )
    if len(groups[0].windows) < config.windows:
        messages.append(
            f"{len(groups[0].windows)} windows of each group, not {config.windows}: the smallest has no more"
        )
    return messages
