"""From a task file to rows: finds the data, reads it, checks every row, splits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.configs import from_dict, read_yaml
from biodata.errors import ConfigError, DataError
from biodata.progress import say
from bioeval.tasks.config import TaskConfig
from bioeval.tasks.contact_targets import contact_targets
from bioeval.tasks.dataset_rows import dataset_rows
from bioeval.tasks.find import Piece, find_file, pieces_of, plain_sha256
from bioeval.tasks.formats import FORMATS, format_of
from bioeval.tasks.pairs import with_negatives
from bioeval.tasks.rows import CLASS, SPLIT, Book, Rows, stacked
from bioeval.tasks.sequences import sequences_of
from bioeval.tasks.splits import drawn, given, sampled, with_validation
from bioeval.tasks.targets import targets_of, value_column
from bioeval.tasks.task import TASK_SCHEMA, Task
from bioeval.tasks.token_targets import token_targets
from bioeval.tasks.wild_types import references_of

_FOLDER = Path(__file__).parent
_SHOWN = 5
_YAML = (".yaml", ".yml")


@lru_cache(maxsize=1)
def task_names() -> tuple[str, ...]:
    """Names of the tasks that come with the package, sorted; `NAME:EACH` where a file has several."""
    names = []
    for path in _FOLDER.glob("*.yaml"):
        each = read_yaml(path).get("each")
        names += [f"{path.stem}:{item}" for item in each if item != "*"] if each else [path.stem]
    return tuple(sorted(names))


def is_task(text: str) -> bool:
    """Whether a text is meant as a task: a name, `NAME:EACH` of such a file, or the path of a task file.

    >>> is_task("mrfp"), is_task("gue:tf9"), is_task("my/task.yaml:a"), is_task("random-init:run")
    (True, True, True, False)
    """
    base = text.rpartition(":")[0] or text
    return text.endswith(_YAML) or base.endswith(_YAML) or base in {n.split(":")[0] for n in task_names()}


def read_task(name_or_path: str | Path) -> tuple[TaskConfig, Path]:
    """The task file of a name, or at a path, and where it is.

    Raises:
        ConfigError: no such task, or a file that is no task file.
    """
    text = str(name_or_path)
    base, _, item = text.rpartition(":") if ":" in Path(text).name else (text, "", "")
    path = _FOLDER / f"{base}.yaml"
    if base.endswith(_YAML):
        path = Path(base)
    elif Path(base).name != base or not path.is_file():
        near = get_close_matches(text, task_names(), n=1)
        guess = f", did you mean {near[0]!r}?" if near else ""
        known = ", ".join(task_names())
        raise ConfigError(f"unknown task {text!r}{guess} (known: {known}; or the path of a task .yaml)")
    raw = read_yaml(path)
    _check_item(text, item, raw.get("each") or [])
    if item:
        raw = _filled(raw, item) | {"name": f"{raw.get('name', base)}:{item}"}
    return from_dict(TaskConfig, raw, where=str(path)), path


def _check_item(text: str, item: str, each: Any) -> None:
    names = [str(name) for name in each] if isinstance(each, list) else []
    shown = ", ".join(name for name in names if name != "*")
    if item and not names:
        raise ConfigError(f"task {text!r}: its file has one task, give the name without {':' + item!r}")
    if names and not item:
        raise ConfigError(f"task {text!r} is several, say which: {text}:NAME with NAME of {shown}")
    if names and item not in names and ("*" not in names or "/" in item or item == "*"):
        near = get_close_matches(item, names, n=1)
        guess = f", did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"task {text!r}: no {item!r}{guess} (known: {shown})")


def _filled(value: Any, item: str) -> Any:
    """A task file with `{each}` filled in."""
    if isinstance(value, str):
        return value.replace("{each}", item)
    if isinstance(value, dict):
        return {key: _filled(inner, item) for key, inner in value.items()}
    return [_filled(inner, item) for inner in value] if isinstance(value, list) else value


def load_task(name_or_path: str | Path, *, data: Path | None = None) -> Task:
    """Loads a task.

    Args:
        name_or_path: a name of `task_names()` or the path of a task file.
        data: takes the place of the file or dataset that the task file names.

    Raises:
        ConfigError: no such task, or its data is not there (the message says where to put it).
        DataError: a row that cannot be used, with file and line.
    """
    config, path = read_task(name_or_path)
    without = 0
    if config.data.dataset is not None:
        folder = Path(data) if data is not None else path.parent / config.data.dataset
        rows, alphabet, without = dataset_rows(folder, config)
        config = _of_dataset(config, alphabet)
    else:
        rows = _read(config, path.parent, data)
    task = _task(rows, config)
    if config.data.dataset is not None:
        extra = {"rows_without_label": without} if without else {}
        notes = {k: v for k, v in task.notes.items() if k != "data_sha256"}
        task = replace(task, notes=notes | {"split_by": "the dataset's own"} | extra)
    task.check()
    return task


def _of_dataset(config: TaskConfig, alphabet: str) -> TaskConfig:
    columns = replace(config.columns, sequence="sequence", id="id", split="split", group="cluster",
                      value=str(config.data.label))  # fmt: skip
    return replace(config, alphabet=alphabet, columns=columns, split_by="given")


def _read(config: TaskConfig, beside: Path, data: Path | None) -> Rows:
    """The rows of all files of a task; every column that the task file names is there."""
    pieces = pieces_of(config)
    if data is not None and len(pieces) > 1:
        raise ConfigError(f"data = {str(data)!r} cannot take the place of {len(pieces)} files: "
                          f"put them beside {config.name}.yaml")  # fmt: skip
    paths = [
        Path(data) if data is not None else find_file(config.data, beside=beside, piece=p) for p in pieces
    ]
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder")
    digest = plain_sha256(paths)
    if config.data.sha256 not in (None, digest) and data is None:
        hint = f"{config.data.sha256} expected: another version of the file?"
        raise DataError(f"SHA-256 of the plain file is {digest}", where=paths[0], hint=hint)
    wanted = _wanted(config)
    return stacked([_one(path, piece, config, wanted) for path, piece in zip(paths, pieces)], digest)


def _one(path: Path, piece: Piece, config: TaskConfig, wanted: Sequence[str]) -> Rows:
    rows = FORMATS.load(format_of(path, config))(path, config, wanted)
    table = rows.table
    for name, text in ((SPLIT, piece.split), (CLASS, piece.label)):
        if text is not None:
            table = table.append_column(name, pa.repeat(pa.scalar(text, pa.large_string()), table.num_rows))
    return replace(rows, table=table)


def _wanted(config: TaskConfig) -> list[str]:
    c = config.columns
    value = c.values if config.kind == "multi-label" else () if config.negatives else (value_column(config),)
    split = c.split or ("SET" if config.data.labels and config.way == "given" else None)
    only = (text.partition("=")[0] for text in config.only)
    names = (c.sequence, *value, split, c.validation, c.group, c.id, c.second, c.wildtype, c.mutant, *only,
             config.contacts and config.contacts.unknown)  # fmt: skip
    return list(dict.fromkeys(name for name in names if name and name != CLASS))


def _task(rows: Rows, config: TaskConfig) -> Task:
    book = Book(rows, refuse=config.missing == "error")
    c, n = config.columns, rows.table.num_rows
    for name, _, wanted in (text.partition("=") for text in config.only):
        other = np.array([text != wanted for text in rows.texts(name).to_pylist()], bool)
        book.drop("not-asked-for", other, f"{name} is not {wanted}")
    sequences = sequences_of(rows, c.sequence, config.alphabet, book, smiles=config.notation == "smiles")
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"sequence": sequences}
    if c.second is not None:
        alphabet = config.second_alphabet or config.alphabet
        columns["second"] = sequences_of(rows, c.second, alphabet, book)
    if config.kind == "token":
        targets = token_targets(rows, sequences, config, book)
    elif config.kind == "contacts":
        targets = contact_targets(rows, sequences, config, book)
    else:
        targets = targets_of(rows, config, book)
    split = given(rows, config, book) if config.way == "given" else []
    if config.kind == "zero-shot":
        columns |= references_of(rows, sequences, config, book)
    columns["group"] = pa.nulls(n, pa.string()) if c.group is None else rows.texts(c.group).cast(pa.string())
    columns["id"] = pa.array(_ids(rows, config), pa.string())
    if config.negatives:
        _drop_repeated(columns, book)
    keep = pa.array(book.kept)
    table = pa.table(columns | targets.columns).filter(keep)
    kept_split = [name for name, kept in zip(split, book.kept) if kept]
    table, notes = _finished(table, kept_split, config)
    notes = {"data_sha256": rows.digest, **notes, **book.notes(), **targets.notes}
    _tell(config, book)
    return Task(config=config, table=table, alphabet=config.alphabet, classes=targets.classes,
                notes=notes | _length_notes(table, config), dropped=book.log.take_rows())  # fmt: skip


def _finished(table: pa.Table, split: list[str], config: TaskConfig) -> tuple[pa.Table, dict[str, int | str]]:
    """The rows with their split, sampled, and with negative pairs; and what was done."""
    notes: dict[str, int | str] = {}
    if config.way == "given":
        sequences, groups = table["sequence"].to_pylist(), table["group"].to_pylist()
        if config.validation and "validation" not in split:
            split = with_validation(split, sequences, groups, config)
        notes["split_by"] = f"column {config.columns.split}" if config.columns.split else "given by the files"
    else:
        if config.rows and config.rows < table.num_rows:
            table = table.take(
                pa.array(sampled(["test"] * table.num_rows, rows=config.rows, seed=config.seed))
            )
        split = drawn(table["sequence"], table["group"].to_pylist(), config)
        notes["split_by"] = {
            "none": "no split, all rows are test rows",
            "scaffold": "scaffolds by size",
            "group": f"groups, seed {config.seed}",
        }.get(config.way, f"{config.way}, seed {config.seed}")
    table = table.append_column(TASK_SCHEMA.field("split"), pa.array(split, pa.string()))
    if config.rows and config.rows < table.num_rows:
        table = table.take(pa.array(sampled(split, rows=config.rows, seed=config.seed)))
    if config.rows:
        notes["rows_at_most"] = config.rows
    order = [*TASK_SCHEMA.names, *(name for name in table.column_names if name not in TASK_SCHEMA.names)]
    table = table.select(order)
    if config.negatives:
        table, missing = with_negatives(table, count=config.negatives, seed=config.seed)
        notes |= {"pairs_drawn": int(np.sum(table["label"].to_numpy() == 0)), "pairs_not_drawn": missing}
    return table, notes


def _ids(rows: Rows, config: TaskConfig) -> list[str]:
    """The ids of the file, else file number and line; made unique by the line where the file repeats them."""
    several = len(rows.files) > 1
    at = [f"{file}:{line}" if several else str(line) for file, line in zip(rows.file_of, rows.lines)]
    name = config.columns.id or ("id" if "id" in rows.table.column_names else None)
    if name is None:
        return at
    named = [text or place for text, place in zip(rows.texts(name).to_pylist(), at)]
    seen: dict[str, int] = {}
    for text in named:
        seen[text] = seen.get(text, 0) + 1
    return [f"{text}@{place}" if seen[text] > 1 else text for text, place in zip(named, at)]


def _drop_repeated(columns: dict[str, pa.Array | pa.ChunkedArray], book: Book) -> None:
    pairs = list(zip(columns["sequence"].to_pylist(), columns["second"].to_pylist()))
    seen: set[tuple[str, str]] = set()
    wrong = np.zeros(len(pairs), bool)
    for row in np.flatnonzero(book.kept).tolist():
        wrong[row] = pairs[row] in seen
        seen.add(pairs[row])
    book.drop("repeated-pair", wrong, "the pair is there before")


def _tell(config: TaskConfig, book: Book) -> None:
    dropped = book.log.as_dict()["dropped"]
    if dropped:
        lines = [book.rows.where(int(row)) for row in np.flatnonzero(~book.kept)[:_SHOWN]]
        counts = ", ".join(f"{n} {rule}" for rule, n in dropped.items())
        first = f" (the first: {', '.join(lines)})" if lines else ""
        say(f"{config.name}: left out {counts} of {book.notes()['rows_read']} rows{first}")


def _length_notes(table: pa.Table, config: TaskConfig) -> dict[str, int | str]:
    if config.unit != "codon":
        return {}
    lengths = np.array([len(text) for text in table["sequence"].to_pylist()])
    return {"rows_without_whole_codons": int(np.count_nonzero(lengths % 3))}
