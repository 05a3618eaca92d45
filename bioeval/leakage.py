"""Which test rows have a near copy among the train rows: the line that stands beside every score.

The search (`bioeval.near_rows`) is exhaustive and independent of whatever made the split. Where there are too
many pairs for that, MMseqs2 searches instead (`biodata.similarity.search` as the audit does); it may miss
pairs, and the method that stands with the result says so. Molecules are compared token by token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from biodata.dataset import open_dataset
from biodata.similarity.search import audit_settings
from bioeval.near_rows import leaking_rows, lettered, plain, searched_rows
from bioeval.tasks.task import Task

__all__ = ["Leakage", "find_leakage", "leaking_rows", "pretraining_rows"]

_MOST_PAIRS = 100_000_000  # some minutes on one core
_MOST_TRAIN = 50_000  # 400 MB of counts
_NUCLEOTIDES = ("dna", "rna")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """What was found.

    Attributes:
        leaking: bool for each test row, in order; of a pair: both of its sequences are near train ones.
        exact: test rows whose sequence is also a train sequence.
        repeated: sequences that occur in more than one split.
        identity: threshold in (0, 1].
        coverage: threshold in (0, 1].
        method: one phrase.
        details: test rows whose group is also in train (`rows_of_train_groups`); of pairs, how many test rows
            have both, one or none of their sequences near a train one (`pairs_seen`).
    """

    leaking: np.ndarray
    exact: int
    repeated: int
    identity: float
    coverage: float
    method: str
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "train_test_rows": int(self.leaking.sum()), "test_rows": len(self.leaking),
            "exact_rows": self.exact, "sequences_in_several_splits": self.repeated,
            "identity": self.identity, "coverage": self.coverage, "method": self.method, **self.details,
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """For people."""
        if self.method == NO_TRAIN_ROWS:
            return "no train rows to leak from"
        n, of = int(self.leaking.sum()), len(self.leaking)
        groups = self.details.get("rows_of_train_groups")
        return (
            f"{n} of {of} test rows have a train row at identity >= {self.identity:g} over "
            f"{self.coverage:g} of the length ({self.exact} identical)"
            + (f", {groups} are of a group that trains too" if groups else "")
        )


NO_TRAIN_ROWS = "no train rows"


def find_leakage(task: Task, *, identity: float = 0.9, coverage: float = 0.8) -> Leakage:
    """Test rows of a task with a near copy in train, and equal sequences across all splits.

    DNA that is read letter by letter is searched on both strands; codons and RNA have one.

    Args:
        task: its train and test sequences.
        identity: least identity of a near copy, above 0, at most 1.
        coverage: least length of the shorter as a fraction of the longer, above 0, at most 1.

    Raises:
        ConfigError: a threshold outside (0, 1].
    """
    test = task.sequences("test")
    if "train" not in task.splits():
        return Leakage(
            leaking=np.zeros(len(test), bool), exact=0, repeated=0, identity=identity, coverage=coverage,
            method=NO_TRAIN_ROWS,
        )  # fmt: skip
    how = _Search(task.alphabet, task.unit, identity, coverage)
    near, exact, method = how.rows(task.sequences("train"), test)
    details: dict[str, Any] = {}
    if task.kind == "pairs":
        side = _Search(task.second_alphabet, "", identity, coverage)
        other, _, _ = side.rows(task.seconds("train") or [], task.seconds("test") or [])
        details["pairs_seen"] = _seen(near, other)
        near = near & other
        exact = _equal_pairs(task)
    groups = _shared_groups(task)
    if groups is not None:
        details["rows_of_train_groups"] = groups
    return Leakage(
        leaking=near, exact=int(exact.sum()), repeated=_repeated(task), identity=identity,
        coverage=coverage, method=method, details=details,
    )  # fmt: skip


def pretraining_rows(task: Task, folder: Path, *, identity: float, coverage: float) -> np.ndarray | None:
    """Test rows with a near copy among the train rows of a dataset that a model was pretrained on.

    Args:
        task: its test sequences; of a pair one of the two is enough, as the model has seen it.
        folder: a finished dataset.
        identity: as for `find_leakage`.
        coverage: as for `find_leakage`.

    Returns:
        bool for each test row; `None` where the dataset is of another alphabet (of pairs: than both sides).

    Raises:
        DataError: no dataset.
    """
    files = open_dataset(folder).files("train")
    table = pq.ParquetDataset(files).read(columns=["sequence", "alphabet"])
    known, alphabets = table.column("sequence").to_pylist(), table.column("alphabet").unique().to_pylist()
    sides = [(task.alphabet, task.unit, task.sequences("test"))]
    if task.kind == "pairs":
        sides.append((task.second_alphabet, "", task.seconds("test") or []))
    found = [
        _Search(alphabet, unit, identity, coverage).rows(known, test)[0]
        for alphabet, unit, test in sides
        if len(every := {*alphabets, alphabet}) == 1 or every <= set(_NUCLEOTIDES)
    ]
    return np.logical_or.reduce(found) if found else None


@dataclass(frozen=True, slots=True)
class _Search:
    alphabet: str
    unit: str
    identity: float
    coverage: float

    def rows(self, train: Sequence[str], test: Sequence[str]) -> tuple[np.ndarray, np.ndarray, str]:
        """Near or equal rows, equal rows, and how they were found."""
        both = self.alphabet == "dna" and self.unit == "nucleotide"
        if self.alphabet == "selfies":
            train, test = lettered(train, test)
        exact = leaking_rows(train, test, identity=1.0, coverage=1.0, both_strands=both)
        # MMseqs2 has no alphabet for molecules.
        few = len(train) * len(test) <= _MOST_PAIRS and len(train) <= _MOST_TRAIN
        if few or self.alphabet == "selfies":
            near = leaking_rows(
                train, test, identity=self.identity, coverage=self.coverage, both_strands=both
            )
            method = "edlib, every pair of train and test"
        else:
            settings = audit_settings(alphabet=self.alphabet, identity=self.identity, coverage=self.coverage)
            settings = replace(settings, both_strands=both)
            near = searched_rows(train, test, settings, alphabet=self.alphabet)
            method = "MMseqs2 search, may miss pairs"
        method += ", both strands" if both else ""
        return exact | near, exact, method + (", token by token" if self.alphabet == "selfies" else "")


def _repeated(task: Task) -> int:
    columns = ["sequence"] + (["second"] if task.kind == "pairs" else [])
    seen: dict[tuple[str, ...], set[str]] = {}
    for row in task.table.select([*columns, "split"]).to_pylist():
        seen.setdefault(tuple(plain(row[name]) for name in columns), set()).add(row["split"])
    return sum(len(splits) > 1 for splits in seen.values())


def _equal_pairs(task: Task) -> np.ndarray:
    train, test = (
        [(plain(a), plain(b)) for a, b in zip(task.sequences(s), task.seconds(s) or [])]
        for s in ("train", "test")
    )
    known = set(train)
    return np.array([pair in known for pair in test], dtype=bool)


def _seen(first: np.ndarray, second: np.ndarray) -> dict[str, int]:
    """As Park & Marcotte 2012 (doi:10.1038/nmeth.2259) tell test pairs apart."""
    both, one = first & second, first ^ second
    return {"both": int(both.sum()), "one": int(one.sum()), "none": int((~(both | one)).sum())}


def _shared_groups(task: Task) -> int | None:
    train, test = task.groups("train"), task.groups("test")
    if train is None or test is None:
        return None
    known = set(train)
    return sum(group in known for group in test)
