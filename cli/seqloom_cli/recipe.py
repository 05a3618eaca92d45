"""Recipes: one YAML file that says the whole way; each section is the configuration of one stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from biodata.build import BuildConfig
from biodata.configs import from_dict, read_yaml, set_by_path
from biodata.errors import ConfigError
from biodata.fetch.names import is_source_name
from biodata.files import write_text
from biodata.progress import say
from biodata.simulate.families import SimulateConfig
from biodata.tokenizers.config import TokenizerConfig
from bioeval.evaluate import EvalConfig
from bioeval.sequences.evaluation import SequencesConfig
from biotrain.config import TrainConfig
from biotrain.generate_config import GenerateConfig
from seqloom_cli.options import parse_setting

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
        """The places under a folder."""
        names = ("archive", "dataset", "tokenizer", "tasks", "run", "generated/generated.fasta", "evaluation",
                 "sequences", "report.html", ".stages")  # fmt: skip
        return cls(root, *(root / name for name in names))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A checked recipe: every configuration built, every path filled in.

    Attributes:
        text: the resolved recipe as given, for the report.
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

    Paths inside the file are relative to the file; paths in settings are relative to the working directory.

    Raises:
        ConfigError: no such recipe, or unknown sections.
    """
    path = Path(recipe)
    if not path.suffix and recipe in recipe_names():
        path = Path(str(files("seqloom_cli") / "recipes" / f"{recipe}.yaml"))
    if not path.is_file():
        raise ConfigError(f"{recipe}: no such recipe file (shipped by name: {', '.join(recipe_names())})")
    values = read_yaml(path)
    _resolve_paths(values, path.parent)
    for setting in settings:
        set_by_path(values, *parse_setting(setting))
    unknown = sorted(set(values) - {"name", *SECTIONS})
    if unknown:
        raise ConfigError(f"{path}: unknown section {unknown[0]!r} (known: name, {', '.join(SECTIONS)})")
    return values


def check_recipe(values: Mapping[str, Any], places: Places, *, where: str) -> Recipe:
    """Builds and checks every configuration before anything runs.

    Args:
        values: content of the recipe, by section.
        places: folders and files that the stages write.
        where: name of the recipe, for messages.

    Raises:
        ConfigError: naming file, section and key.
    """
    section: dict[str, dict[str, Any]] = {name: dict(values.get(name) or {}) for name in SECTIONS}
    simulated = _use_archive(section, places)
    _exclude_by_default(section["data"]["read"])
    labels = tuple(section["evaluate"].pop("labels", None) or ())
    filled = _fill_paths(section, places, labels)

    def build(name: str, cls: type) -> Any:
        return from_dict(cls, section[name] | filled.get(name, {}), where=f"{where}: {name}")

    train = build("train", TrainConfig)
    writes = _writes_sequences(train)
    for given in ("generate", "sequences"):
        if not writes and values.get(given) is not None:
            what = f"model {train.model.name!r} trained by {train.objective.name!r}"
            raise ConfigError(
                f"{where}: {given}: {what} writes no sequences: leave out generate and sequences"
            )
    return Recipe(
        name=str(values.get("name", Path(where).stem)),
        text=deepcopy(dict(values)),
        labels=labels,
        simulate=build("simulate", SimulateConfig) if simulated else None,
        data=build("data", BuildConfig),
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
        return False
    read["inputs"] = [str(places.archive / name) for name in ("genomes.gbff.gz", "genes.fna.gz")]
    read.setdefault("labels", str(places.archive / "property.csv"))
    return True


def _exclude_by_default(read: dict[str, Any]) -> None:
    """Recipes end in a model that generates: the exclusion is on unless they say otherwise."""
    exclusion = read["exclusion"] = dict(read.get("exclusion") or {})
    exclusion.setdefault("exclude", True)


def _fill_paths(
    section: dict[str, dict[str, Any]], places: Places, labels: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    tasks = [str(places.tasks / f"{label}.yaml") for label in labels]
    tasks += list(section["evaluate"].pop("tasks", None) or [])
    data = places.dataset
    return {
        "tokenizer": {"data": data, "out": places.tokenizer},
        "train": {"data": data, "tokenizer": places.tokenizer, "out": places.run},
        "generate": {"run": places.run, "out": places.generated},
        "evaluate": {"models": [str(places.run)], "tasks": tasks, "out": places.evaluation},
        "sequences": {
            "generated": places.generated,
            "reference": data,
            "train": data,
            "out": places.sequences,
        },
    }


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


def _resolve_paths(values: dict[str, Any], folder: Path) -> None:
    def absolute(path: Any) -> Any:
        named = isinstance(path, str) and not _is_source(path)
        return str(folder / path) if named else path

    read = (values.get("data") or {}).get("read")
    if isinstance(read, dict):
        _replace(read, "inputs", lambda v: [absolute(p) for p in ([v] if isinstance(v, str) else v)])
        _replace(read, "labels", absolute)
    evaluate = values.get("evaluate")
    if isinstance(evaluate, dict):
        _replace(evaluate, "tasks", lambda v: [absolute(t) if str(t).endswith(".yaml") else t for t in v])


def _replace(section: dict[str, Any], key: str, change: Callable[[Any], Any]) -> None:
    if section.get(key):
        section[key] = change(section[key])


def _is_source(path: str) -> bool:
    return Path(path).is_absolute() or "://" in path or is_source_name(path)
