"""From a task file to rows: finds the data, reads it, checks every row."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from biodata.alphabet import get_alphabet
from biodata.configs import from_dict, read_yaml
from biodata.errors import ConfigError, DataError
from biodata.io.streams import open_binary
from biodata.schema import SPLITS
from bioeval.tasks.find import find_file, plain_sha256, where_to_put
from bioeval.tasks.splits import group_split
from bioeval.tasks.task import TASK_SCHEMA, Task, TaskConfig

_FOLDER = Path(__file__).parent
_SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
                "validation": "validation", "dev": "validation", "test": "test"}  # fmt: skip


def task_names() -> tuple[str, ...]:
    """Names of the tasks that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_task(name_or_path: str | Path) -> tuple[TaskConfig, Path]:
    """The task file of a name, or at a path, and where it is.

    Raises:
        ConfigError: no such task, or a file that is no task file.
    """
    text = str(name_or_path)
    if text in task_names():
        path = _FOLDER / f"{text}.yaml"
    elif text.endswith((".yaml", ".yml")):
        path = Path(text)
    else:
        near = get_close_matches(text, task_names(), n=1)
        guess = f", did you mean {near[0]!r}?" if near else ""
        known = ", ".join(task_names())
        raise ConfigError(f"unknown task {text!r}{guess} (known: {known}; or the path of a task .yaml)")
    return from_dict(TaskConfig, read_yaml(path), where=str(path)), path


def load_task(name_or_path: str | Path, *, data: Path | None = None) -> Task:
    """Loads a task.

    Args:
        name_or_path: a name of `task_names()` or the path of a task file.
        data: takes the place of the table or dataset that the task file names.

    Raises:
        ConfigError: no such task, or its data is not there (the message says where to put it).
        DataError: a row that cannot be used, with file and line.
    """
    config, path = read_task(name_or_path)
    if config.data.dataset is not None:
        folder = Path(data) if data is not None else path.parent / config.data.dataset
        task = _from_dataset(config, folder)
    else:
        file = Path(data) if data is not None else find_file(config.data, beside=path.parent)
        task = _from_table(config, file)
    task.check()
    return task


def describe_tasks() -> list[dict[str, Any]]:
    """One dict for each task of the package: name, title, licence, metric, unit, and where its data is."""
    rows = []
    for name in task_names():
        config, path = read_task(name)
        try:
            place = str(find_file(config.data, beside=path.parent, download=False))
        except ConfigError:
            place = None
        rows.append({
            "name": name, "title": config.title, "kind": config.kind, "metric": config.metric,
            "unit": config.unit, "licence": config.licence, "data": place,
            "get": None if place else where_to_put(config.data),
        })  # fmt: skip
    return rows


def _from_table(config: TaskConfig, file: Path) -> Task:
    digest = plain_sha256(file)
    if config.data.sha256 not in (None, digest):
        hint = f"{config.data.sha256} expected: another version of the file?"
        raise DataError(f"SHA-256 of the plain file is {digest}", where=file, hint=hint)
    raw = _read_csv(file)
    names = config.columns
    sequences = _column(raw, names.sequence, file).cast(pa.large_string())
    _check_letters(sequences, config.alphabet, file)
    values = _numbers(_column(raw, names.value, file), names.value, file, log=config.transform == "log1p")
    groups = None if names.group is None else _column(raw, names.group, file).cast(pa.string())
    ids = [str(n + 2) for n in range(raw.num_rows)]  # the line in the file
    if names.id is not None:
        ids = _column(raw, names.id, file).cast(pa.string()).to_pylist()
    listed = sequences.to_pylist()
    labels = [None] * len(listed) if groups is None else groups.to_pylist()
    if names.split is None:
        splits = group_split(listed, labels, fractions=config.fractions, seed=config.seed)
    else:
        splits = _splits(_column(raw, names.split, file), file)
    table = pa.table([ids, sequences, values, splits, pa.array(labels, pa.string())], schema=TASK_SCHEMA)
    split_by = f"column {names.split}" if names.split else f"groups, seed {config.seed}"
    notes = {"data_sha256": digest, "split_by": split_by, **_length_notes(sequences, config.unit)}
    return Task(config=config, table=table, alphabet=config.alphabet, notes=notes)


def _from_dataset(config: TaskConfig, folder: Path) -> Task:
    parts = [_dataset_part(folder, split) for split in SPLITS]
    raw = pa.concat_tables(parts)
    found = [_label(row, config.data.label) for row in raw.column("labels").to_pylist()]
    texts = [i for i, (has, value) in enumerate(found) if has and value is None]
    if texts:
        where = f"{folder}, id {raw.column('id')[texts[0]]}"
        raise DataError(f"label {config.data.label!r} is no number", where=where)
    labelled = np.array([has for has, _ in found], dtype=bool)
    if not labelled.any():
        names = sorted({x["name"] for row in raw.column("labels").to_pylist() for x in row or []})
        hint = f"labels there: {', '.join(names) or 'none'}"
        raise DataError(f"no row has the label {config.data.label!r}", where=folder, hint=hint)
    alphabets = raw.column("alphabet").unique().to_pylist()
    if len(alphabets) != 1:
        raise DataError(f"alphabets {', '.join(alphabets)}, one expected", where=folder)
    kept = raw.filter(pa.array(labelled))
    values = _numbers(
        pa.chunked_array([pa.array([v for has, v in found if has], pa.float64())]),
        str(config.data.label), folder, log=config.transform == "log1p",
    )  # fmt: skip
    columns = [kept.column("id"), kept.column("sequence"), values, kept.column("split"),
               kept.column("cluster").cast(pa.string())]  # fmt: skip
    table = pa.table(columns, schema=TASK_SCHEMA)
    notes: dict[str, int | str] = {"split_by": "the dataset's own"}
    if len(labelled) > table.num_rows:
        notes["rows_without_label"] = len(labelled) - table.num_rows
    notes |= _length_notes(table.column("sequence"), config.unit)
    return Task(
        config=replace(config, alphabet=alphabets[0]), table=table, alphabet=alphabets[0], notes=notes
    )


def _dataset_part(folder: Path, split: str) -> pa.Table:
    files = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        hint = "give the folder that `seqloom data build` wrote"
        raise ConfigError(f"no {split} shards in {folder / 'data'} ({hint})")
    columns = ["id", "sequence", "alphabet", "cluster", "split", "labels"]
    try:
        return pa.concat_tables([pq.read_table(f, columns=columns) for f in files])
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataError(f"not a dataset of seqloom: {error}", where=folder) from error


def _label(labels: list[dict[str, Any]] | None, name: str | None) -> tuple[bool, float | None]:
    for label in labels or []:
        if label["name"] == name:
            return True, label["value"]
    return False, None


def _read_csv(file: Path) -> pa.Table:
    with open_binary(file) as stream:
        data = stream.read()
    try:
        return pa_csv.read_csv(
            pa.BufferReader(data),
            convert_options=pa_csv.ConvertOptions(strings_can_be_null=True),
            parse_options=pa_csv.ParseOptions(newlines_in_values=False),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"not a CSV table: {str(error).splitlines()[0]}", where=file) from error


def _column(table: pa.Table, name: str, file: Path) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise DataError(f"no column {name!r}", where=file, hint=f"columns: {', '.join(table.column_names)}")
    column = table.column(name)
    if column.null_count:
        line = pc.index(column.is_null(), True).as_py() + 2
        raise DataError(f"column {name!r} is empty", where=f"{file}:{line}")
    return column


def _numbers(column: pa.ChunkedArray, name: str, file: Path, *, log: bool) -> pa.ChunkedArray:
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise DataError(f"column {name!r} is no number: {error}", where=file) from error
    values = numbers.to_numpy()
    wrong = ~np.isfinite(values) | (log & (values <= -1))
    if wrong.any():
        row = int(np.argmax(wrong))
        wanted = "a finite number above -1" if log else "a finite number"
        raise DataError(f"{name} is {values[row]}, {wanted} expected", where=f"{file}:{row + 2}")
    return pa.chunked_array([np.log1p(values)]) if log else numbers


def _splits(column: pa.ChunkedArray, file: Path) -> list[str]:
    given = [str(v).strip().lower() for v in column.to_pylist()]
    for row, name in enumerate(given):
        if name not in _SPLIT_NAMES:
            hint = f"allowed: {', '.join(_SPLIT_NAMES)}"
            raise DataError(f"split {name!r}", where=f"{file}:{row + 2}", hint=hint)
    return [_SPLIT_NAMES[name] for name in given]


def _check_letters(column: pa.ChunkedArray, alphabet: str, file: Path) -> None:
    letters = get_alphabet(alphabet).letters
    wrong = pc.call_function(
        "match_substring_regex", [column], pc.MatchSubstringOptions(f"^$|[^{re.escape(letters)}]")
    )
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        symbols = get_alphabet(alphabet).invalid_symbols(column[row].as_py())
        shown = ", ".join(repr(s) for s in sorted(symbols)) or "nothing at all"
        raise DataError(f"a sequence of {alphabet} holds {shown}", where=f"{file}:{row + 2}")


def _length_notes(column: pa.ChunkedArray, unit: str) -> dict[str, int]:
    if unit != "codon":
        return {}
    lengths = pc.call_function("utf8_length", [column]).to_numpy()
    return {"rows_without_whole_codons": int(np.count_nonzero(lengths % 3))}
