"""`seqloom run`: data -> tokenizer -> train -> generate -> evaluate -> report, finished stages skipped.

A stage is finished when its record holds the fingerprint of its settings, of its input files and of the
stages that it needs. A stage that was killed goes on where it stopped; one whose settings changed is made
anew, and the line that says so names what changed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from biodata import __version__
from biodata.configs import write_yaml
from biodata.errors import MissingExtraError
from biodata.files import fingerprint, make_folder, read_json, write_json
from biodata.folders import check_apart, locked
from biodata.progress import say
from biotrain.rundir import flat
from seqloom_cli.output import plain
from seqloom_cli.recipe import Places, Recipe
from seqloom_cli.stages import Stage, check_labels, check_tasks, plan_stages

_NEEDED = ("torch", "safetensors", "transformers", "sklearn", "scipy", "gudhi", "matplotlib")
_SHOWN = 3  # changes named in the line that says why a stage is made anew


def run_recipe(recipe: Recipe, places: Places) -> dict[str, Any]:
    """Runs every stage that is not finished and writes the report.

    Returns:
        `report`, `out`, and for each stage its state (`done` or `skipped`), seconds and result.

    Raises:
        ConfigError: a file that the recipe names, or the table of a task, is not there.
        MissingExtraError: before anything is done, where a later stage lacks what it needs.
        DataError: the table of a task cannot be read; after the data stage, too few rows have a label that
            is to be evaluated.
        SeqloomError: another run is at work in the folder.
    """
    _require_parts()
    check_apart(recipe.data.read.inputs, places.root)
    stages = plan_stages(recipe, places)
    make_folder(places.root)
    with locked(places.root, name=places.stages.name, doing="run"):
        keys, summary = _keys(stages), {}
        if any(s.name == "evaluate" and not _is_done(s, keys, _record(s, places)) for s in stages):
            check_tasks(recipe, places)
        write_yaml(places.root / "recipe.yaml", recipe.text)
        for number, stage in enumerate(stages, 1):
            say(f"[{number}/{len(stages)}] {stage.name}")
            summary[stage.name] = done = _run_stage(stage, keys, recipe, places)
            if stage.name == "data":
                check_labels(recipe, places)
            say(f"      {done['state']}, {done['seconds']} s")
    return {"report": str(places.report), "out": str(places.root), "stages": summary}


def _require_parts() -> None:
    """Looks without importing: a finished recipe must not wait for torch."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the whole way needs {', '.join(missing)}, not installed: pip install 'seqloom[all]'"
        )


def describe_plan(recipe: Recipe, places: Places) -> dict[str, Any]:
    """What `run_recipe` would do: each stage, whether it is done, why not, where it writes, its settings."""
    stages, plan = plan_stages(recipe, places), {}
    keys = _keys(stages)
    for stage in stages:
        record = _record(stage, places)
        done = _is_done(stage, keys, record)
        plan[stage.name] = {
            "state": "done" if done else "to do", "why": "" if done else _why(stage, keys, record),
            "output": str(stage.output), "settings": stage.shown,
        }  # fmt: skip
    return {"out": str(places.root), "stages": plan}


def _keys(stages: Sequence[Stage]) -> dict[str, str]:
    """Name to fingerprint; each has in it those of the stages that it needs."""
    keys: dict[str, str] = {}
    for stage in stages:
        parts = {"settings": stage.settings, "needs": _needs(stage, keys), "version": __version__}
        keys[stage.name] = fingerprint(parts)
    return keys


def _needs(stage: Stage, keys: Mapping[str, str]) -> dict[str, str]:
    return {name: keys[name] for name in stage.needs}


def _record(stage: Stage, places: Places) -> dict[str, Any]:
    path = places.stages / f"{stage.name}.json"
    return read_json(path) if path.exists() else {}


def _is_done(stage: Stage, keys: Mapping[str, str], record: Mapping[str, Any]) -> bool:
    same = record.get("fingerprint") == keys[stage.name]
    return same and record["state"] == "done" and stage.output.exists()


def _why(stage: Stage, keys: Mapping[str, str], record: Mapping[str, Any]) -> str:
    """Why a stage is run that may have been run before; names the settings and files that changed."""
    if not record:
        return "not begun"
    if record["fingerprint"] == keys[stage.name]:
        return "its result is gone" if record["state"] == "done" else "begun, goes on"
    if record.get("version") != __version__:
        return f"anew: it was made by seqloom {record.get('version', 'of before')}, this is {__version__}"
    before, now = flat(record["settings"]), flat(_as_recorded(stage.settings))
    changes = [_change(name, before, now) for name in before | now if before.get(name) != now.get(name)]
    if not changes:
        needs = _needs(stage, keys)
        changes = [f"{name} changed" for name in needs if record["needs"].get(name) != needs[name]]
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return f"anew: {', '.join(changes[:_SHOWN])}{more}"


def _change(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """One difference in words; of files the content is compared, which says nothing when shown."""
    group, _, file = name.partition(".")
    shown = {"inputs": file, "tasks": f"task {file}"}.get(group)
    if shown or _is_hash(before.get(name)) or _is_hash(now.get(name)):
        what = "gone" if name not in now else "changed" if before.get(name) else "new"
        return f"{shown or name} is {what}"
    return f"{name} {plain(before.get(name))} -> {plain(now.get(name))}"


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def _as_recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(settings, default=str))


def _run_stage(stage: Stage, keys: Mapping[str, str], recipe: Recipe, places: Places) -> dict[str, Any]:
    record = _record(stage, places)
    if _is_done(stage, keys, record):
        return {"state": "skipped", "seconds": record["seconds"], "result": record["result"]}
    if record:
        say(f"      {_why(stage, keys, record)}")
    if record and record["fingerprint"] != keys[stage.name]:
        _remove(stage.output)
    path = places.stages / f"{stage.name}.json"
    begun = {"fingerprint": keys[stage.name], "settings": stage.settings, "needs": _needs(stage, keys),
             "version": __version__}  # fmt: skip
    write_json(path, begun | {"state": "started"})
    start = time.monotonic()
    result = dict(stage.run(recipe, places))
    seconds = round(time.monotonic() - start, 1)
    write_json(path, begun | {"state": "done", "seconds": seconds, "result": result})
    return {"state": "done", "seconds": seconds, "result": result}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
