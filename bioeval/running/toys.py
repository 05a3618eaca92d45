"""Small made-up tasks of every kind, for tests of models and of this package: nothing can be said of biology.

A row is a sequence of units, each of class A or B of its alphabet; what is asked for is the share of A, which
any sensible embedding holds. Everything is drawn with a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biodata.errors import ConfigError
from bioeval.tasks import Task
from bioeval.tasks.config import Source, TaskConfig
from bioeval.tasks.contact_rules import ContactRules

UNITS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "dna": (("GCC", "GGC", "CTG", "ACC"), ("AAA", "TTA", "ATA", "GAT"), "codon"),
    "rna": (("GCC", "GGC", "CUG", "ACC"), ("AAA", "UUA", "AUA", "GAU"), "codon"),
    "protein": (("A", "G", "L", "P"), ("K", "D", "E", "R"), "residue"),
    "selfies": (("[C]", "[=C]", "[Ring1]"), ("[O]", "[N]", "[F]"), "token"),
}
"""Alphabet to units of class A, units of class B, and what a unit is called."""
_ROWS = (36, 18, 18)
_WILD = 30  # units of the wild type


def toy_tasks(alphabet: str, *, seed: int = 0) -> list[Task]:
    """A task of every kind, 72 rows each (clustering 54, zero-shot 40); of SELFIES no contacts.

    Args:
        alphabet: a key of `UNITS`.
        seed: of the sequences and targets.

    Raises:
        ConfigError: another alphabet.
    """
    if alphabet not in UNITS:
        raise ConfigError(f"alphabet {alphabet!r}, known: {', '.join(UNITS)}")
    kinds = {kind: make for kind, make in _KINDS.items() if kind != "contacts" or alphabet != "selfies"}
    return [_task(kind, make(_Maker(alphabet, seed)), alphabet) for kind, make in kinds.items()]


class _Maker:
    """Sequences of an alphabet."""

    def __init__(self, alphabet: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.a, self.b, _ = UNITS[alphabet]

    def units(self, share: float) -> tuple[list[str], np.ndarray]:
        """12 to 24 units and which of them are of class A."""
        is_a = self.rng.random(int(self.rng.integers(12, 25))) < share
        return [str(self.rng.choice(self.a if yes else self.b)) for yes in is_a], is_a

    def rows(self, n: int, shares: Sequence[float] | None = None) -> tuple[list[str], list[np.ndarray]]:
        """Sequences and their classes, unit by unit."""
        drawn = self.rng.uniform(0.1, 0.9, n) if shares is None else shares
        made = [self.units(share) for share in drawn]
        return ["".join(units) for units, _ in made], [is_a for _, is_a in made]


def _regression(make: _Maker) -> dict[str, Any]:
    sequences, is_a = make.rows(sum(_ROWS))
    return {"sequence": sequences, "value": [float(row.mean()) for row in is_a]}


def _classification(make: _Maker) -> dict[str, Any]:
    sequences, is_a = make.rows(sum(_ROWS))
    return {"sequence": sequences, "label": [int(row.mean() > 0.5) for row in is_a]}


def _multi_label(make: _Maker) -> dict[str, Any]:
    sequences, is_a = make.rows(sum(_ROWS))
    labels = [[float(row.mean() > 0.5), float(len(row) > 18)] for row in is_a]
    for row in labels[::9]:
        row[0] = float("nan")
    return {"sequence": sequences, "labels": labels}


def _token(make: _Maker) -> dict[str, Any]:
    sequences, is_a = make.rows(sum(_ROWS))
    return {"sequence": sequences, "tokens": [[-1, *row[1:].astype(int).tolist()] for row in is_a]}


def _pairs(make: _Maker) -> dict[str, Any]:
    n = sum(_ROWS)
    (first, a), (second, b) = make.rows(n), make.rows(n)
    label = [int((x.mean() > 0.5) == (y.mean() > 0.5)) for x, y in zip(a, b)]
    return {"sequence": first, "second": second, "label": label}


def _zero_shot(make: _Maker) -> dict[str, Any]:
    wild = [str(unit) for unit in make.rng.choice(make.a, _WILD)]
    mutants = []
    for number in range(40):
        changed = list(wild)
        for place in make.rng.choice(_WILD, 1 + number % 3, replace=False):
            changed[place] = str(make.rng.choice(make.b))
        mutants.append("".join(changed))
    value = [-float(1 + number % 3) + make.rng.normal(0, 0.5) for number in range(40)]
    return {"sequence": mutants, "reference": ["".join(wild)] * 40, "value": value}


def _grouped(make: _Maker) -> dict[str, Any]:
    label = [number % 3 for number in range(sum(_ROWS))]
    sequences, _ = make.rows(len(label), [0.1 + 0.4 * c for c in label])
    return {"sequence": sequences, "label": label}


def _contacts(make: _Maker) -> dict[str, Any]:
    sequences, is_a = make.rows(sum(_ROWS), np.tile([0.3, 0.5], sum(_ROWS) // 2).tolist())
    contacts = []
    for row in is_a:
        i, j = np.triu_indices(len(row), k=6)
        contacts.append(np.stack([i, j], axis=1)[row[i] & row[j]].ravel().tolist())
    return {"sequence": sequences, "contacts": contacts, "unknown": [[] for _ in sequences]}


_KINDS: dict[str, Callable[[_Maker], dict[str, Any]]] = {
    "regression": _regression,
    "classification": _classification,
    "multi-label": _multi_label,
    "token": _token,
    "pairs": _pairs,
    "zero-shot": _zero_shot,
    "retrieval": _grouped,
    "clustering": _grouped,
    "contacts": _contacts,
}
_CLASSES = {"classification": 2, "multi-label": 2, "token": 2, "pairs": 2, "retrieval": 3, "clustering": 3}
_TYPES = {"label": pa.int64(), "labels": pa.list_(pa.float64()), "tokens": pa.list_(pa.int64()),
          "value": pa.float64(), "contacts": pa.list_(pa.int32()),
          "unknown": pa.list_(pa.int32())}  # fmt: skip


def _task(kind: str, columns: dict[str, Any], alphabet: str) -> Task:
    n = len(columns["sequence"])
    names = ("train", "validation", "test")
    split = [name for name, rows in zip(names, _ROWS) for _ in range(rows)]
    table = {
        "id": pa.array([f"toy{number}" for number in range(n)]),
        "split": pa.array(["test"] * n if kind in ("zero-shot", "clustering") else split),
        "group": pa.nulls(n, pa.string()),
    }
    for name, values in columns.items():
        text = pa.large_string() if name == "sequence" else pa.string()
        table[name] = pa.array(values, _TYPES.get(name, text))
    contacts = ContactRules(first=0) if kind == "contacts" else None
    config = TaskConfig(
        name=f"toy-{kind}", data=Source(file="made up"), alphabet=alphabet, unit=UNITS[alphabet][2],  # pyright: ignore[reportArgumentType]
        kind=kind, title="made up", licence="none needed", columns=_columns(kind),  # pyright: ignore[reportArgumentType]
        contacts=contacts, metric="p-at-contacts" if contacts else "",
    )  # fmt: skip
    classes = tuple("abc"[: _CLASSES.get(kind, 0)])
    return Task(config=config, table=pa.table(table), alphabet=alphabet, notes={}, classes=classes)


def _columns(kind: str) -> Any:
    from bioeval.tasks.config import Columns

    if kind == "pairs":
        return Columns(second="second")
    return Columns(values=("a", "b")) if kind == "multi-label" else Columns()
