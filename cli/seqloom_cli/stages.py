"""The stages of a recipe: what each one does, and all that its result depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from biodata.config_content import content_of
from biodata.configs import to_dict
from biodata.errors import InterruptedRunError
from biodata.fetch.names import is_source_name
from biodata.files import sha256_file
from biodata.io.detect import expand_inputs
from bioeval.tasks import read_task
from biotrain.rundir import FREE
from seqloom_cli.recipe import Places, Recipe, write_label_tasks

Run = Callable[[Recipe, Places], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the way.

    Attributes:
        settings: all that its result depends on, besides the stages that it needs.
        shown: its settings as a plan shows them, with places.
        output: what it leaves; removed before a stage is made anew.
        run: does the work, returns what is recorded.
        needs: the stages whose results it reads.
    """

    name: str
    settings: Mapping[str, Any]
    shown: Mapping[str, Any]
    output: Path
    run: Run
    needs: tuple[str, ...] = ()


_ELSEWHERE = {
    "data": ("read.inputs", "split.threads", "overwrite", "engine", "scheduler"),
    "tokenizer": ("data", "out"),
    "train": FREE,
    "generate": ("run", "out"),
    "evaluate": ("models", "tasks", "out", "cache"),
    "sequences": ("generated", "reference", "train", "out"),
}
"""Settings that are no part of a stage's fingerprint: what the stages before hand it, which have their own;
places; what leaves the result as it is. Inputs and tasks are taken by content instead."""


def plan_stages(recipe: Recipe, places: Places) -> list[Stage]:
    """The stages of a recipe in order; nothing heavy is imported before a stage runs.

    Raises:
        ConfigError: a file that the recipe names is not there.
    """

    def stage(name: str, needs: str, config: Any, output: Path, run: Run, **more: Any) -> Stage:
        asked = content_of(config, without=_ELSEWHERE.get(name, ()))
        return Stage(name=name, settings=asked | more, shown=to_dict(config), output=output, run=run,
                     needs=tuple(needs.split()))  # fmt: skip

    stages = [_data_stage(recipe, places)]
    if recipe.simulate:
        stages.insert(0, stage("simulate", "", recipe.simulate, places.archive, _simulate))
    stages.append(stage("tokenizer", "data", recipe.tokenizer, places.tokenizer, _train_tokenizer))
    stages.append(stage("train", "data tokenizer", recipe.train, places.run, _train))
    if recipe.generate:
        stages.append(stage("generate", "train", recipe.generate, places.generated, _generate))
    if recipe.evaluate:
        tasks = _task_contents(recipe, places)
        stages.append(stage("evaluate", "train", recipe.evaluate, places.evaluation, _evaluate, tasks=tasks))
    if recipe.sequences:
        stages.append(stage("sequences", "generate", recipe.sequences, places.sequences, _sequences))
    every = tuple(stage.name for stage in stages)
    text = {"recipe": recipe.text}
    stages.append(Stage(name="report", settings=text, shown=text, output=places.report, run=_report,
                        needs=every))  # fmt: skip
    return stages


def _data_stage(recipe: Recipe, places: Places) -> Stage:
    """The stage `data`; simulated inputs are those of the stage before, others are taken by content."""
    asked = recipe.data
    if recipe.simulate:
        asked = replace(asked, read=replace(asked.read, labels=None))
    settings = content_of(asked, without=_ELSEWHERE["data"])
    settings["inputs"] = {} if recipe.simulate else _input_contents(recipe.data.read.inputs)
    needs = ("simulate",) if recipe.simulate else ()
    return Stage(name="data", settings=settings, shown=to_dict(recipe.data), output=places.dataset,
                 run=_build_dataset, needs=needs)  # fmt: skip


def _input_contents(inputs: Sequence[str]) -> dict[str, str]:
    """Names of files to their SHA-256; a source stands for itself, its files may not be there yet."""
    sources = [text for text in inputs if is_source_name(text)]
    found = dict.fromkeys(sources, "")
    for path in expand_inputs(text for text in inputs if text not in sources):
        name = path.name
        while name in found:
            name += " (another)"
        found[name] = sha256_file(path)
    return found


def _task_contents(recipe: Recipe, places: Places) -> dict[str, list[str]]:
    """Tasks to the SHA-256 of their file and of the table beside it; the stage makes those of labels."""
    found: dict[str, list[str]] = {}
    for task in recipe.evaluate.tasks if recipe.evaluate else ():
        if Path(task).parent == places.tasks:
            found[Path(task).stem] = []
            continue
        config, path = read_task(task)
        table = path.parent / (config.data.file or "")
        found[Path(task).name] = [sha256_file(file) for file in (path, table) if file.is_file()]
    return found


def _simulate(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biodata.simulate.archive import simulate_archive

    assert recipe.simulate
    truth = simulate_archive(recipe.simulate, places.archive)
    return {k: truth[k] for k in ("genes", "best_possible_spearman", "planted")}


def _build_dataset(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biodata.build import build_dataset

    return build_dataset(recipe.data, places.dataset)


def check_tasks(recipe: Recipe, places: Places) -> None:
    """Says now, not after hours of training, that a task's table is not there or cannot be read."""
    from bioeval.tasks import load_task

    for task in recipe.evaluate.tasks if recipe.evaluate else ():
        if Path(task).parent != places.tasks and read_task(task)[0].data.dataset is None:
            load_task(task)


def check_labels(recipe: Recipe, places: Places) -> None:
    """Says now, not after hours of training, that there is too little to evaluate on."""
    from bioeval.tasks import labels

    if recipe.labels:
        labels.check_labels(places.dataset, recipe.labels)


def _train_tokenizer(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biodata.tokenizers import train_tokenizer

    return train_tokenizer(recipe.tokenizer)


def _train(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biotrain.loop import train

    try:
        return train(replace(recipe.train, resume=places.run.exists()))
    except InterruptedRunError as stopped:
        raise InterruptedRunError(
            f"training stopped, its checkpoint is in {places.run}: give the same command again to go on"
        ) from stopped


def _generate(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biotrain.generate import generate

    assert recipe.generate
    return generate(recipe.generate)


def _evaluate(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from bioeval.evaluate import evaluate

    assert recipe.evaluate
    write_label_tasks(recipe, places)
    return evaluate(recipe.evaluate)


def _sequences(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from bioeval.sequences.evaluation import evaluate_sequences

    assert recipe.sequences
    return evaluate_sequences(recipe.sequences)


def _report(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from bioeval.report.page import ReportInputs, write_report

    inputs = ReportInputs(
        dataset=places.dataset, tokenizer=places.tokenizer, run=places.run,
        evaluation=places.evaluation if recipe.evaluate else None,
        sequences=places.sequences if recipe.sequences else None,
        generated=places.generated if recipe.generate else None, title=recipe.name,
        truth=places.archive / "truth.json" if recipe.simulate else None,
        recipe=yaml.safe_dump(dict(recipe.text), sort_keys=False),
        commands=("seqloom run recipe.yaml --out .",),
    )  # fmt: skip
    return {"report": str(write_report(inputs, places.report))}
