"""What stands on a board: results of folders with their predictions, and results of others as JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biodata.errors import DataError
from bioeval.baselines import BASELINES
from bioeval.report.verdicts import model_name
from bioeval.results import predictions_path
from bioeval.scores import LOWER_IS_BETTER, SCORES
from bioeval.stored import Stored, read_predictions

Name = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Cost(BaseModel):
    """What a result took."""

    model_config = ConfigDict(strict=True)
    parameters: Count | None = Field(default=None, description="of the model")
    probe_parameters: Count | None = Field(default=None, description="fitted on its frozen features")
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(default=None)


class Leak(BaseModel):
    """Test rows with a near copy in the training rows."""

    model_config = ConfigDict(strict=True)
    train_test_rows: Count | None = None
    test_rows: Count | None = None


class Difference(BaseModel):
    """Model minus baseline on the same items."""

    model_config = ConfigDict(strict=True)
    delta: Number | None = None
    lo: Number | None = None
    hi: Number | None = None
    p_value: Annotated[float, Field(ge=0, le=1)] | None = None


class Bounds(BaseModel):
    """How an interval was made."""

    model_config = ConfigDict(strict=True)
    caution: str = Field(default="", description="why it may be too narrow")


class Scored(BaseModel):
    """A value with its interval."""

    model_config = ConfigDict(strict=True)
    value: Number | None
    lo: Number | None = None
    hi: Number | None = None
    cost: Cost = Cost()
    difference: Difference | None = None


class Result(Scored):
    """One model on one task: the fields of `results.json` that a board reads; others may stand there too."""

    model: Name
    task: Name
    metric: Name
    n: Annotated[int, Field(ge=1)] | None = None
    split: Name = "test"
    lower_is_better: bool | None = Field(default=None, description="needed for metrics seqloom does not know")
    baseline: bool = False
    baselines: dict[str, Scored] = {}
    strongest_baseline: str | None = None
    leakage: Leak = Leak()
    interval: Bounds = Bounds()
    items: str | None = None
    source: str = Field(default="", description="where the figure is from: a citation or address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model (or baseline) on a task.

    Attributes:
        model: name on the board.
        result: what stands in the file.
        scored: value, interval and cost; of a baseline its own.
        origin: file or folder it was read from.
        baseline: whether it is a row to be above.
        stored: items and predictions, `None` where only figures are known.
        prediction: its predictions of these items.
    """

    model: str
    result: Result
    scored: Scored
    origin: str
    baseline: bool
    stored: Stored | None = None
    prediction: np.ndarray | None = None


def read_entries(inputs: tuple[str, ...]) -> list[Entry]:
    """Everything that folders and files hold; one model under one name, other models under others.

    Args:
        inputs: folders of `eval run`, or JSON files of the same form.

    Raises:
        DataError: a file that is not there or does not fit the schema, naming file and field.
    """
    found = [entry for name in dict.fromkeys(inputs) for entry in _of_input(Path(name))]
    return _named_apart(found)


def parameters_of(entry: Entry) -> int | None:
    """Parameters of a model; a baseline has none but those of its probe."""
    cost = entry.scored.cost
    if entry.model.split(" (")[0] in BASELINES:
        return cost.parameters if cost.probe_parameters is None else cost.probe_parameters
    if entry.scored is not entry.result and cost.probe_parameters is None:
        return None  # of a baseline that is a model, only those of its probe are known
    return cost.parameters


def lower_is_better(result: Result) -> bool:
    """Which way a result's metric is better."""
    return result.metric in LOWER_IS_BETTER if result.metric in SCORES else bool(result.lower_is_better)


def _of_input(path: Path) -> Iterator[Entry]:
    if not path.exists():
        raise DataError("not there", where=path, hint="a folder of eval run or a JSON file is expected")
    folder = path if path.is_dir() else None
    file = path / "results.json" if folder else path
    if not file.is_file():
        raise DataError("no results.json", where=path, hint="a folder that `seqloom eval run --out` wrote")
    for row, result in _results(file):
        stored = None
        if folder is not None and predictions_path(folder, result.model, result.task).is_file():
            stored = read_predictions(folder, row)
        is_floor = result.baseline or result.model in BASELINES or result.model.startswith("random-init:")
        yield Entry(
            model=result.model, result=result, scored=result, origin=str(path), baseline=is_floor,
            stored=stored, prediction=stored.predictions[result.model] if stored else None,
        )  # fmt: skip
        for name, scored in result.baselines.items():
            given = stored.predictions.get(name) if stored else None
            yield Entry(
                model=name, result=result, scored=scored, origin=str(path), baseline=True,
                stored=stored if given is not None else None, prediction=given,
            )  # fmt: skip


def _results(file: Path) -> Iterator[tuple[dict[str, Any], Result]]:
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", where=f"{file}:{error.lineno}") from None
    except UnicodeDecodeError:
        raise DataError("not UTF-8 text", where=file) from None
    except RecursionError:
        raise DataError("not JSON of results: brackets in brackets without end", where=file) from None
    rows = whole.get("results") if isinstance(whole, dict) else None
    if not isinstance(rows, list) or not rows:
        raise DataError('an object {"results": [...]} with at least one result is expected', where=file)
    seen: dict[tuple[str, str], int] = {}
    for i, row in enumerate(rows):
        result = _checked(row, f"{file}: results[{i}]")
        first = seen.setdefault((result.model, result.task), i)
        if first != i:
            twice = f"{result.model!r} on task {result.task!r} stands in results[{first}] and results[{i}]"
            raise DataError(twice, where=file)
        yield row, result


def _checked(row: Any, where: str) -> Result:
    try:
        result = Result.model_validate(row)
    except ValidationError as error:
        _refuse_misspelt(row, where)
        first = error.errors()[0]
        place = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in first["loc"])
        found = "" if first["type"] == "missing" else f", found {_short(first['input'])}"
        raise DataError(f"{first['msg'].lower()}{found}", where=f"{where}{place}") from None
    _refuse_misspelt(row, where)
    _check_bounds(result, where)
    return result


def _check_bounds(result: Result, where: str) -> None:
    if result.metric not in SCORES and result.lower_is_better is None:
        hint = f"known: {', '.join(SCORES)}; for others say lower_is_better: true or false"
        raise DataError(f"unknown metric {result.metric!r}", where=f"{where}.metric", hint=hint)
    if result.lower_is_better not in (None, lower_is_better(result)):
        is_better = "higher" if result.lower_is_better else "lower"
        raise DataError(f"of {result.metric} {is_better} is better", where=f"{where}.lower_is_better")
    scores: Mapping[str, Scored] = {
        "": result,
        **{f".baselines[{k}]": v for k, v in result.baselines.items()},
    }
    for place, scored in scores.items():
        if (scored.lo is None) != (scored.hi is None):
            raise DataError("lo and hi go together, one of them is missing", where=f"{where}{place}")
        if scored.lo is not None and scored.hi is not None and scored.lo > scored.hi:
            raise DataError(f"lo {scored.lo} above hi {scored.hi}", where=f"{where}{place}.lo")
        if scored.value is None and scored.lo is not None:
            raise DataError("an interval without a value", where=f"{where}{place}.value")
        if scored.value is not None:
            _check_value(scored, scored.value, result.metric, f"{where}{place}.value")


def _check_value(scored: Scored, value: float, metric: str, where: str) -> None:
    """Percent for shares and slips of the pen; a value just beside its interval may be right."""
    if metric in SCORES and not SCORES[metric].allows(value):
        raise DataError(f"{metric} is {SCORES[metric].range}, found {value}", where=where)
    if scored.lo is not None and scored.hi is not None:
        width = scored.hi - scored.lo
        if not scored.lo - width - 1e-9 <= value <= scored.hi + width + 1e-9:
            raise DataError(f"{value} is far from its interval, {scored.lo} to {scored.hi}", where=where)


def _refuse_misspelt(row: Any, where: str) -> None:
    """A field that nobody reads is fine, one that is nearly a known one is a mistake."""
    cost = row.get("cost") if isinstance(row, dict) else None
    for part, known, place in ((row, Result.model_fields, ""), (cost, Cost.model_fields, ".cost")):
        if not isinstance(part, dict):
            continue
        for name in map(str, part):
            near = [k for k in get_close_matches(name, list(known), n=2, cutoff=0.85) if k not in part]
            if name not in known and near:
                raise DataError(f"unknown field, did you mean {near[0]!r}?", where=f"{where}{place}.{name}")


def _named_apart(entries: list[Entry]) -> list[Entry]:
    """Names for people; where one name stands for different results, the folder stands beside it."""
    kept: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        kept.setdefault((entry.model, entry.result.task, entry.origin), entry)
    differing = {name for name in {e.model for e in entries} if _conflict(name, kept)}
    shown = {e.model: model_name(e.model) for e in entries}
    several = {label for label in shown.values() if list(shown.values()).count(label) > 1}
    result: dict[tuple[str, str], Entry] = {}
    for entry in kept.values():
        label = entry.model if shown[entry.model] in several else shown[entry.model]
        if entry.model in differing:
            label = f"{label} ({entry.origin})"
        known = result.get((label, entry.result.task))
        if known is None or (known.stored is None and entry.stored is not None):
            result[label, entry.result.task] = replace(entry, model=label)
    return list(result.values())


def _conflict(name: str, entries: Mapping[tuple[str, str, str], Entry]) -> bool:
    values: dict[str, float | None] = {}
    for (model, task, _), entry in entries.items():
        value = entry.scored.value
        if model == name and not _alike(values.setdefault(task, value), value):
            return True
    return False


def _alike(a: float | None, b: float | None) -> bool:
    """Equal but for the order in which items were summed up."""
    return a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
