"""Recipes: one YAML file that says the whole way; each section is the configuration of one stage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from biodata.build import BuildConfig
from biodata.configs import from_dict, read_yaml, set_by_path
from biodata.errors import ConfigError
from biodata.files import write_text
from biodata.progress import say
from biodata.simulate.families import SimulateConfig
from biodata.tokenizers.config import TokenizerConfig
from bioeval.evaluate import EvalConfig
from bioeval.sequences.evaluation import SequencesConfig
from bioeval.tasks import read_task
from biotrain.config import TrainConfig
from biotrain.generate_config import GenerateConfig
from seqloom_cli.needless import refuse_needless
from seqloom_cli.options import parse_setting
from seqloom_cli.recipe_paths import listed, make_absolute, make_relative

SECTIONS = ("simulate", "data", "tokenizer", "train", "generate", "evaluate", "sequences")


@dataclass(frozen=True, slots=True)
class Places:
    """Where each stage writes, under one folder."""

    root: Path
    archive: Path
    dataset: Path
    tokenizer: Path
    tasks: Path
    run: Path
    generated: Path
    evaluation: Path
    sequences: Path
    report: Path
    stages: Path

    @classmethod
    def under(cls, root: Path) -> Places:
        """The places under a folder; absolute, so that they are the same from every working directory."""
        names = ("archive", "dataset", "tokenizer", "tasks", "run", "generated/generated.fasta", "evaluation",
                 "sequences", "report.html", ".stages")  # fmt: skip
        root = Path(os.path.abspath(root))
        return cls(root, *(root / name for name in names))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A checked recipe: every configuration built, every path filled in.

    Attributes:
        text: the recipe with its settings, paths relative to the folder of the run.
        labels: properties of the dataset that are predicted from embeddings.
        simulate: `None` where the recipe names files.
        generate: `None` where the model does not write sequences.
        evaluate: `None` where there is nothing to predict.
        sequences: `None` where there are no generated ones to judge.
    """

    name: str
    text: Mapping[str, Any]
    labels: tuple[str, ...]
    simulate: SimulateConfig | None
    data: BuildConfig
    tokenizer: TokenizerConfig
    train: TrainConfig
    generate: GenerateConfig | None
    evaluate: EvalConfig | None
    sequences: SequencesConfig | None


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(Path(entry.name).stem for entry in (files("seqloom_cli") / "recipes").iterdir())


def read_recipe(recipe: str, settings: list[str]) -> dict[str, Any]:
    """The sections of a recipe file, or of one that ships by name, with `--set` applied.

    Paths inside the file are relative to the file, paths in settings to the working directory; both are
    made absolute.

    Raises:
        ConfigError: no such recipe, or unknown sections.
    """
    path = Path(recipe)
    if not path.suffix and recipe in recipe_names():
        path = Path(str(files("seqloom_cli") / "recipes" / f"{recipe}.yaml"))
    if not path.is_file():
        raise ConfigError(f"{recipe}: no such recipe file (shipped by name: {', '.join(recipe_names())})")
    values = read_yaml(path)
    make_absolute(values, path.parent)
    for setting in settings:
        set_by_path(values, *parse_setting(setting))
    make_absolute(values, Path())
    _check_sections(values, recipe)
    return values


def _check_sections(values: Mapping[str, Any], where: str) -> None:
    """Refuses a recipe whose sections are unknown or no groups of settings."""
    known = ("name", *SECTIONS)
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            guess = f", did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{where}: unknown section {name!r}{guess} (known: {', '.join(known)})")
    for name in SECTIONS:
        _group(values, name, where)
    read = _group(_group(values, "data", where), "read", f"{where}: data")
    _group(read, "exclusion", f"{where}: data.read")


def _group(values: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """A copy of a group of settings, empty where it is left out.

    Raises:
        ConfigError: it is something else.
    """
    value = values.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {name!r} takes a group of settings, got {value!r}")
    return dict(value)


def check_recipe(values: Mapping[str, Any], places: Places, *, where: str) -> Recipe:
    """Builds and checks every configuration before anything runs.

    Args:
        values: content of the recipe, by section.
        places: folders and files that the stages write.
        where: name of the recipe, for messages.

    Raises:
        ConfigError: naming file, section and key.
    """
    _check_sections(values, where)
    section = {name: _group(values, name, where) for name in SECTIONS}
    simulated = _use_archive(section, places)
    _exclude_by_default(section["data"]["read"])
    labels = _names(section["evaluate"].pop("labels", None), f"{where}: evaluate: 'labels'")
    tasks = _names(section["evaluate"].pop("tasks", None), f"{where}: evaluate: 'tasks'")
    for task in tasks:
        read_task(task)
    for setting in () if labels or tasks else section["evaluate"]:
        what = "does nothing without 'labels' or 'tasks': give one of them or leave it out"
        raise ConfigError(f"{where}: evaluate: {setting!r} {what}")
    filled = _filled_in(places, labels, tasks)
    name = str(values.get("name") or Path(where).stem)
    text = {"name": name} | deepcopy(dict(values)) | {"name": name}
    make_relative(text, places.root)

    def build(name: str, cls: type) -> Any:
        _refuse(section[name], filled.get(name, {}), f"{where}: {name}")
        return from_dict(cls, section[name] | filled.get(name, {}), where=f"{where}: {name}")

    train = build("train", TrainConfig)
    writes = _writes_sequences(train)
    for given in ("generate", "sequences"):
        if not writes and values.get(given) is not None:
            what = f"model {train.model.name!r} trained by {train.objective.name!r}"
            raise ConfigError(
                f"{where}: {given}: {what} writes no sequences: leave out generate and sequences"
            )
    if train.objective.name == "text_to_sequence" and not section["generate"].get("text"):
        what = "a model of objective 'text_to_sequence' writes what a text says"
        raise ConfigError(f"{where}: generate: {what}: give 'text'")
    return Recipe(
        name=name,
        text=text,
        labels=labels,
        simulate=build("simulate", SimulateConfig) if simulated else None,
        data=_used(build("data", BuildConfig), f"{where}: data"),
        tokenizer=build("tokenizer", TokenizerConfig),
        train=train,
        generate=build("generate", GenerateConfig) if writes else None,
        evaluate=build("evaluate", EvalConfig) if filled["evaluate"]["tasks"] else None,
        sequences=build("sequences", SequencesConfig) if writes else None,
    )


def _writes_sequences(train: TrainConfig) -> bool:
    """Whether a model can be asked for sequences: one that reads from left to right, or token diffusion."""
    return not train.model.bidirectional or train.objective.name == "masked_diffusion"


def _use_archive(section: dict[str, dict[str, Any]], places: Places) -> bool:
    """Points the data stage at the simulated archive, unless the user names files of their own."""
    read = section["data"]["read"] = dict(section["data"].get("read") or {})
    if not section["simulate"] or read.get("inputs"):
        if section["simulate"] and not read.get("labels") and section["evaluate"].pop("labels", None):
            say("your own files take the place of the simulated ones; with no data.read.labels there is no "
                "property to predict, so the evaluation on labels is left out")  # fmt: skip
            if not section["evaluate"].get("tasks"):
                section["evaluate"].clear()  # said in the line above
        return False
    read["inputs"] = [str(places.archive / name) for name in ("genomes.gbff.gz", "genes.fna.gz")]
    read.setdefault("labels", str(places.archive / "property.csv"))
    return True


def _exclude_by_default(read: dict[str, Any]) -> None:
    """Recipes end in a model that generates: the exclusion is on unless they say otherwise."""
    exclusion = read["exclusion"] = dict(read.get("exclusion") or {})
    exclusion.setdefault("exclude", True)


def _filled_in(places: Places, labels: tuple[str, ...], tasks: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What one stage hands to the next, by section."""
    every = [*(str(places.tasks / f"{label}.yaml") for label in labels), *tasks]
    data = places.dataset
    return {
        "tokenizer": {"data": data, "out": places.tokenizer},
        "train": {"data": data, "tokenizer": places.tokenizer, "out": places.run},
        "generate": {"run": places.run, "out": places.generated},
        "evaluate": {"models": [str(places.run)], "tasks": every, "out": places.evaluation},
        "sequences": {
            "generated": places.generated,
            "reference": data,
            "train": data,
            "out": places.sequences,
        },
    }


def _refuse(given: Mapping[str, Any], filled: Mapping[str, Any], where: str) -> None:
    """Refuses a setting that would be overwritten."""
    for name in given:
        if name.replace("-", "_") in filled:
            raise ConfigError(f"{where}: {name!r} is handed from stage to stage by the run: leave it out")


def _used(config: BuildConfig, where: str) -> BuildConfig:
    """Refuses settings of the data that would do nothing."""
    try:
        refuse_needless(config)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return config


def _names(value: Any, what: str) -> tuple[str, ...]:
    value = listed([] if value is None else value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, (str, int)) for name in value):
        raise ConfigError(f"{what} takes a list of names, got {value!r}")
    return tuple(map(str, value))


def write_label_tasks(recipe: Recipe, places: Places) -> None:
    """Writes a task file for each label of the dataset that the recipe asks for."""
    for label in recipe.labels:
        write_text(places.tasks / f"{label}.yaml", _TASK.format(label=label))


_TASK = """name: {label}
title: property '{label}' of the dataset, on its own leak-free splits
data: {{dataset: ../dataset, label: {label}}}
alphabet: dna
unit: codon
kind: regression
metric: spearman
"""
