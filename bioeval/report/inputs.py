"""What the report is made of: the paths of finished stages, and what stands in their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biodata.configs import read_yaml
from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from bioeval.report.planted import find_planted

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """Folders and files of finished stages; what is `None` or not there is said to be missing.

    Attributes:
        dataset: folder with `manifest.json`.
        tokenizer: folder with `tokenizer_config.json`.
        run: folder with `summary.json` and `training_log.jsonl`.
        evaluation: folder of `eval run` with `results.json`.
        sequences: folder of `eval sequences` with `results.json` and `pictures.json`.
        generated: the generated FASTA, for its name.
        truth: `truth.json` of a simulated archive.
        title: heading of the page.
        recipe: the recipe as text, shown as it is.
        commands: commands that make the page again.
    """

    dataset: Path | None = None
    tokenizer: Path | None = None
    run: Path | None = None
    evaluation: Path | None = None
    sequences: Path | None = None
    generated: Path | None = None
    truth: Path | None = None
    title: str = "seqloom report"
    recipe: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The contents of the stages' files; an empty mapping or list where a stage is missing."""

    title: str
    recipe: str
    commands: tuple[str, ...]
    manifest: Json = field(default_factory=dict)
    tokenizer: Json = field(default_factory=dict)
    tokenizer_vocabulary: int | None = None
    summary: Json = field(default_factory=dict)
    run_config: Json = field(default_factory=dict)
    log: tuple[Json, ...] = ()
    results: tuple[Json, ...] = ()
    evaluation: Json = field(default_factory=dict)
    sequences: Json = field(default_factory=dict)
    pictures: Json = field(default_factory=dict)
    generated: str = ""
    truth: Json = field(default_factory=dict)


def read_facts(inputs: ReportInputs) -> Facts:
    """Reads what is there.

    Raises:
        ConfigError: none of the stages is there.
        DataError: a file that is not JSON.
    """
    evaluation = _json(inputs.evaluation, "results.json")
    tokenizer, size = _tokenizer(inputs.tokenizer)
    config = inputs.run / "config.yaml" if inputs.run else None
    facts = Facts(
        title=inputs.title, recipe=inputs.recipe, commands=inputs.commands,
        manifest=_json(inputs.dataset, "manifest.json"),
        tokenizer=tokenizer, tokenizer_vocabulary=size,
        summary=_json(inputs.run, "summary.json"), log=_lines(inputs.run, "training_log.jsonl"),
        run_config=read_yaml(config) if config and config.is_file() else {},
        results=tuple(evaluation.get("results", ())), evaluation=evaluation,
        sequences=_json(inputs.sequences, "results.json"), pictures=_json(inputs.sequences, "pictures.json"),
        generated=inputs.generated.name if inputs.generated else "", truth=_truth(inputs),
    )  # fmt: skip
    if not any((facts.manifest, facts.tokenizer, facts.log, facts.results, facts.sequences)):
        raise ConfigError(
            "a report needs at least one finished stage (dataset, tokenizer, run or evaluation)"
        )
    return facts


def _truth(inputs: ReportInputs) -> Json:
    if inputs.truth is None or inputs.dataset is None or not inputs.truth.is_file():
        return {}
    return find_planted(inputs.truth, inputs.dataset)


def _json(folder: Path | None, name: str) -> Json:
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return {}
    try:
        value = read_json(path)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    if not isinstance(value, dict):
        raise DataError("a JSON object was expected", where=path)
    return value


def _lines(folder: Path | None, name: str) -> tuple[Json, ...]:
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return ()
    result = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            result.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg}", where=f"{path}:{number}") from None
    return tuple(result)


def _tokenizer(folder: Path | None) -> tuple[Json, int | None]:
    """`tokenizer_config.json` and the size of the vocabulary in `tokenizer.json`."""
    config, tokenizer = _json(folder, "tokenizer_config.json"), _json(folder, "tokenizer.json")
    vocabulary = tokenizer.get("model", {}).get("vocab")
    return config, len(vocabulary) if vocabulary else None
