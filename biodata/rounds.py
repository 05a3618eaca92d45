"""Split, write, audit what was written; repair and repeat until an audit finds nothing."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biodata.curate.reverse import Readings
from biodata.dataset import DATA, write_splits
from biodata.errors import DataError, SeqloomError
from biodata.memory import give_back_memory
from biodata.mmseqs import NUCLEOTIDES, normalised
from biodata.progress import progress
from biodata.publish import load_split, save_split
from biodata.schema import SPLITS
from biodata.similarity.search import Hits
from biodata.splits.audit import Audit, audit
from biodata.splits.columns import read_columns
from biodata.splits.split import Split, SplitConfig, repair_again, split_rows

_MOST_ROUNDS = 20
Files = Sequence[Mapping[str, Any]]


class RowSet(Protocol):
    """The rows of a build: how they are split, audited and repaired, by their size."""

    def split(self) -> Split:
        """The first split."""
        ...

    def audit(self, files: Files, number: int) -> Audit:
        """The audit of round `number` of files as they were written; rows are counted in their order."""
        ...

    def repair(self, split: Split, leaks: Hits, number: int) -> Split:
        """The split after the leaks that round `number` found.

        Args:
            split: as it was audited.
            leaks: pairs of rows in different splits, by row number of the input.
            number: of the round, 0-based.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows of a build are.

    Attributes:
        stages: Parquet files of `SCHEMA`, in order.
        work: folder for what is made of them.
        executor: where shards are worked on.
    """

    stages: Sequence[Path]
    work: Path
    config: SplitConfig
    alphabet: str
    executor: Executor | None


@dataclass(frozen=True, slots=True)
class WholeRows:
    """Rows that fit into memory: every pair is searched for, every held-out row audited."""

    of: Source

    def split(self) -> Split:
        of = self.of
        tables = [pq.read_table(path, columns=["sequence"]) for path in of.stages]
        texts = normalised(pa.concat_tables(tables)["sequence"], alphabet=of.alphabet)
        columns = read_columns(of.stages, of.config, alphabet=of.alphabet)
        return split_rows(texts, of.config, alphabet=of.alphabet, workdir=of.work / "tmp", columns=columns)

    def audit(self, files: Files, number: int) -> Audit:
        of = self.of
        tables = [pq.read_table(of.work / entry["name"], columns=["sequence"]) for entry in files]
        parts = np.concatenate([np.full(len(table), SPLITS.index(entry["split"]), np.int8)
                                for table, entry in zip(tables, files)])  # fmt: skip
        selfies = pa.concat_tables(tables)["sequence"]
        return audit(normalised(selfies, alphabet=of.alphabet), parts, alphabet=of.alphabet,
                     settings=of.config.audit_settings(), workdir=of.work / "tmp", stop_early=True,
                     selfies=selfies if of.alphabet == "selfies" else None)  # fmt: skip

    def repair(self, split: Split, leaks: Hits, number: int) -> Split:
        return repair_again(split, leaks, self.of.config)


def open_rows(
    stages: Sequence[Path], config: SplitConfig, work: Path, executor: Executor | None
) -> tuple[RowSet, str]:
    """The rows of a build, and their alphabet.

    Args:
        stages: Parquet files of `SCHEMA`, in order.
        config: its `large_letters` decides whether rows are held in memory.
        work: folder for what is made of them.
        executor: where shards are worked on, None for this process.

    Raises:
        DataError: fewer than splits asked for, or of several alphabets.
    """
    from biodata.large.rows import LargeRows

    letters, rows, found = 0, 0, set()
    for path in stages:
        table = pq.read_table(path, columns=["length", "alphabet"])
        letters, rows = letters + int(table["length"].to_numpy().sum()), rows + len(table)
        found |= set(table["alphabet"].unique().to_pylist())
    if not rows:
        raise DataError("no row is left after reading and cleaning")
    if rows < (wanted := sum(share > 0 for share in config.fractions)):
        raise DataError(f"{rows} rows are left after reading and cleaning, too few for {wanted} splits",
                        hint="give more sequences, or ask for one: split.fractions 1,0,0")  # fmt: skip
    if len(found) > 1:
        raise DataError(
            f"rows of several alphabets: {', '.join(sorted(found))}", hint="build one dataset of each"
        )
    alphabet = found.pop()
    source = Source(stages=stages, work=work, config=config, alphabet=alphabet, executor=executor)
    is_large = letters >= config.large_letters and alphabet in (*NUCLEOTIDES, "protein")
    return (LargeRows(source) if is_large else WholeRows(source)), alphabet


def split_until_clean(
    rows: RowSet, stages: Sequence[Path], work: Path, readings: Readings | None
) -> tuple[Split, Audit, list[dict[str, Any]], int]:
    """The split of which an audit finds no leak, that audit, the files written, and the rounds of repair.

    Args:
        rows: how they are split, audited and repaired.
        stages: Parquet files of the same rows, in order.
        work: folder of the build; keeps the state of every round, so that a killed build goes on.
        readings: second readings that are written beside their rows, None for none.

    Raises:
        SeqloomError: leaks remain after many rounds.
    """
    split = None
    for number in range(_MOST_ROUNDS):
        state = work / f"split-{number}.npz"
        if (work / f"split-{number + 1}.npz").is_file():
            continue
        if state.is_file():
            split = load_split(state)
        elif split is None:
            with progress("clustering and splitting"):
                split = rows.split()
            save_split(state, split)
        shutil.rmtree(work / DATA, ignore_errors=True)
        give_back_memory()
        files = write_splits(stages, split.cluster, split.split, work / DATA, readings=readings)
        give_back_memory()
        with progress(f"auditing, round {number + 1}"):
            found = _of_input(rows.audit(files, number), _rows_written(split, readings))
        if not len(found.leaks.query):
            return split, found, files, number
        split = rows.repair(split, found.leaks, number)
        save_split(work / f"split-{number + 1}.npz", split)
    raise SeqloomError(f"similar rows still cross the split after {_MOST_ROUNDS} rounds of repair: "
                       "try --split.repair purge")  # fmt: skip


def _of_input(found: Audit, rows: np.ndarray) -> Audit:
    """An audit with the row numbers of the input instead of those of the files."""
    leaks = Hits(rows[found.leaks.query], rows[found.leaks.target], found.leaks.identity)
    return dataclasses.replace(found, leaks=leaks, leaking_rows=rows[found.leaking_rows])


def _rows_written(split: Split, readings: Readings | None) -> np.ndarray:
    """The input's row number of every row of the files, in their order."""
    rows = np.concatenate([np.flatnonzero(split.split == number) for number in range(len(SPLITS))])
    return rows if readings is None else np.repeat(rows, readings.copies[rows])
