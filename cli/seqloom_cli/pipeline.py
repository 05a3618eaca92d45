"""`seqloom run`: data -> tokenizer -> train -> generate -> evaluate -> report, finished stages skipped.

A stage is finished when its record holds the fingerprint of its settings, of its input files and of the
stages before it. A stage that was killed goes on where it stopped; one whose settings changed is made anew.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from biodata import __version__
from biodata.configs import to_dict, write_yaml
from biodata.errors import ConfigError, InterruptedRunError, MissingExtraError
from biodata.fetch.names import is_source_name
from biodata.files import fingerprint, make_folder, read_json, sha256_file, write_json
from biodata.io.detect import expand_inputs
from biodata.progress import say
from seqloom_cli.recipe import Places, Recipe, write_label_tasks

_NEEDED = ("torch", "safetensors", "transformers", "sklearn", "scipy", "gudhi", "matplotlib")

Run = Callable[[Recipe, Places], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the way.

    Attributes:
        settings: all that its result depends on, besides the stages before it.
        output: what it leaves; removed before a stage is made anew.
        run: does the work, returns what is recorded.
    """

    name: str
    settings: Mapping[str, Any]
    output: Path
    run: Run


def run_recipe(recipe: Recipe, places: Places) -> dict[str, Any]:
    """Runs every stage that is not finished and writes the report.

    Returns:
        `report`, `out`, and for each stage its state (`done` or `skipped`), seconds and result.

    Raises:
        MissingExtraError: before anything is done, where a later stage lacks what it needs.
        DataError: after the data stage, where too few rows have a label that is to be evaluated.
    """
    _require_parts()
    make_folder(places.root)
    write_yaml(places.root / "recipe.yaml", recipe.text)
    stages = plan_stages(recipe, places)
    before, summary = "", {}
    for number, stage in enumerate(stages, 1):
        before = _key(stage, before)
        say(f"[{number}/{len(stages)}] {stage.name}")
        summary[stage.name] = done = _run_stage(stage, before, recipe, places)
        if stage.name == "data":
            _check_labels(recipe, places)
        say(f"      {done['state']}, {done['seconds']} s")
    return {"report": str(places.report), "out": str(places.root), "stages": summary}


def _require_parts() -> None:
    """Looks without importing: a finished recipe must not wait for torch."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the whole way needs {', '.join(missing)}, not installed: pip install 'seqloom[all]'"
        )


def plan_stages(recipe: Recipe, places: Places) -> list[Stage]:
    """The stages of a recipe in order; nothing heavy is imported before a stage runs."""

    def stage(name: str, config: Any, output: Path, run: Run, **more: Any) -> Stage:
        return Stage(name=name, settings=_settings(config, places) | more, output=output, run=run)

    stages = [
        stage("data", recipe.data, places.dataset, _build_dataset, inputs=_input_hashes(recipe)),
        stage("tokenizer", recipe.tokenizer, places.tokenizer, _train_tokenizer),
        stage("train", recipe.train, places.run, _train),
    ]
    if recipe.generate:
        stages.append(stage("generate", recipe.generate, places.generated, _generate))
    if recipe.simulate:
        stages.insert(0, stage("simulate", recipe.simulate, places.archive, _simulate))
    if recipe.evaluate:
        stages.append(
            stage(
                "evaluate", recipe.evaluate, places.evaluation, _evaluate, tasks=_task_hashes(recipe, places)
            )
        )
    if recipe.sequences:
        stages.append(stage("sequences", recipe.sequences, places.sequences, _sequences))
    stages.append(Stage(name="report", settings={"recipe": recipe.text}, output=places.report, run=_report))
    return stages


def describe_plan(recipe: Recipe, places: Places) -> dict[str, Any]:
    """What `run_recipe` would do: each stage, where it writes, whether it is finished, its settings."""
    plan, before = {}, ""
    for stage in plan_stages(recipe, places):
        before = _key(stage, before)
        state = "done" if _record(stage, places).get("fingerprint") == before else "to do"
        plan[stage.name] = {"state": state, "output": str(stage.output), "settings": stage.settings}
    return {"out": str(places.root), "stages": plan}


def _key(stage: Stage, before: str) -> str:
    return fingerprint({"settings": stage.settings, "before": before, "version": __version__})


def _record(stage: Stage, places: Places) -> dict[str, Any]:
    path = places.stages / f"{stage.name}.json"
    return read_json(path) if path.exists() else {}


def _run_stage(stage: Stage, key: str, recipe: Recipe, places: Places) -> dict[str, Any]:
    record = _record(stage, places)
    if record.get("fingerprint") == key and record.get("state") == "done" and stage.output.exists():
        return {"state": "skipped", "seconds": record["seconds"], "result": record["result"]}
    if record and record.get("fingerprint") != key:
        say("      its settings or inputs changed: made anew")
        _remove(stage.output)
    path = places.stages / f"{stage.name}.json"
    write_json(path, {"fingerprint": key, "state": "started"})
    start = time.monotonic()
    result = dict(stage.run(recipe, places))
    seconds = round(time.monotonic() - start, 1)
    write_json(path, {"fingerprint": key, "state": "done", "seconds": seconds, "result": result})
    return {"state": "done", "seconds": seconds, "result": result}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _settings(config: Any, places: Places) -> dict[str, Any]:
    """A configuration without the folder it runs in, so that a moved folder is still finished."""
    root = str(places.root)

    def relative(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: relative(v) for k, v in value.items()}
        if isinstance(value, list):
            return [relative(v) for v in value]
        return value.replace(root, "OUT", 1) if isinstance(value, str) and value.startswith(root) else value

    return relative(to_dict(config))


def _input_hashes(recipe: Recipe) -> list[str]:
    if recipe.simulate:
        return []
    labels = [recipe.data.read.labels] if recipe.data.read.labels else []
    if labels and not Path(labels[0]).is_file():
        raise ConfigError(f"data.read.labels: {labels[0]} is not a file")
    # a source name stands for itself: its files may not be there before the stage runs
    files = expand_inputs(text for text in recipe.data.read.inputs if not is_source_name(text))
    return [sha256_file(Path(path)) for path in [*files, *labels]]


def _task_hashes(recipe: Recipe, places: Places) -> list[str]:
    """Hashes of the user's task files; those of labels are written by the stage itself."""
    tasks = [Path(task) for task in recipe.evaluate.tasks] if recipe.evaluate else []
    return [sha256_file(task) for task in tasks if task.is_file() and task.parent != places.tasks]


def _simulate(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biodata.simulate.archive import simulate_archive

    assert recipe.simulate
    truth = simulate_archive(recipe.simulate, places.archive)
    return {k: truth[k] for k in ("genes", "best_possible_spearman", "planted")}


def _build_dataset(recipe: Recipe, places: Places) -> Mapping[str, Any]:
    from biodata.build import build_dataset

    return build_dataset(recipe.data, places.dataset)


def _check_labels(recipe: Recipe, places: Places) -> None:
    """Says now, not after hours of training, that there is too little to evaluate on."""
    from bioeval.tasks import check_labels

    if recipe.labels:
        check_labels(places.dataset, recipe.labels)


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
