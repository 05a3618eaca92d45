"""Clusters of similar sequences: MMseqs2's LinClust (Steinegger & Soeding 2018).

LinClust (doi:10.1038/s41467-018-04964-5) is greedy and linear in time. Similar sequences may
end in different clusters; `biodata.splits.repair` joins what a search finds. Sequences too short for its
k-mers are clustered only if they are equal (`biodata.similarity.short` compares every pair of them).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from biodata.errors import ConfigError
from biodata.mmseqs import available_threads, create_database, find_mmseqs, run_mmseqs
from biodata.similarity.search import LONG, lengths_of

_SHORTEST = {"protein": 14, "dna": 17, "rna": 17}  # LinClust's k-mer lengths at identity 0.9


@dataclass(frozen=True, slots=True)
class Clusters:
    """Cluster of every row.

    Attributes:
        labels: int64, 0 to the number of clusters - 1, numbered by first row.
        command: MMseqs2 command line, empty if no row was long enough for it.
        version: MMseqs2 version, empty likewise.
        too_short: rows below LinClust's k-mer length, clustered by equality only.
    """

    labels: np.ndarray
    command: str
    version: str
    too_short: int


def cluster(
    sequences: pa.ChunkedArray, *, alphabet: str, identity: float, coverage: float, workdir: Path,
    threads: int = 0,
) -> Clusters:  # fmt: skip
    """LinClust clusters, the same whatever the number of threads.

    Rows above `LONG` letters are clustered only if they are equal; `biodata.similarity.sketch` clusters them.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`).
        identity: least alignment identity with the cluster's representative, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment (`--cov-mode 0`).
        workdir: where a folder is made for the run and deleted after it.
        threads: 0 uses every core.
    """
    if not (0 < identity <= 1 and 0 < coverage <= 1):
        raise ConfigError(f"identity {identity}, coverage {coverage}, allowed: above 0, at most 1")
    lengths = lengths_of(sequences)
    shortest = _SHORTEST.get(alphabet, 1 << 62)
    long = np.flatnonzero((lengths >= shortest) & (lengths <= LONG))
    labels = np.arange(len(sequences), dtype=np.int64)
    command = version = ""
    if len(long):
        version = find_mmseqs().version
        representative, member, command = _linclust(
            sequences, long, alphabet=alphabet, workdir=workdir,
            options=["--min-seq-id", str(identity), "-c", str(coverage), "--cov-mode", "0"], threads=threads,
        )  # fmt: skip
        labels[member] = representative
    rest = np.flatnonzero((lengths < shortest) | (lengths > LONG))
    labels[rest] = _first_equal(sequences, rest)
    return Clusters(renumbered(labels), command, version, int((lengths < min(shortest, LONG + 1)).sum()))


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Labels as 0, 1, 2, ... in the order of their first row.

    Args:
        labels: int64 [rows], 0 or more; memory grows with the largest, so they should be row numbers or so.

    >>> renumbered(np.array([7, 3, 7, 9]))
    array([0, 1, 0, 2])
    """
    rows = len(labels)
    rank = np.full(int(labels.max(initial=-1)) + 1, rows, small_ints(rows))
    # of equal labels the last assignment stays: their first row
    rank[labels[::-1]] = np.arange(rows - 1, -1, -1, dtype=rank.dtype)
    used = np.flatnonzero(rank < rows)
    rank[used[np.argsort(rank[used])]] = np.arange(len(used), dtype=rank.dtype)
    return rank[labels].astype(np.int64)


def small_ints(most: int) -> type[np.int32] | type[np.int64]:
    """The type for numbers up to `most` that takes least memory: sets of ten million rows are worked on."""
    return np.int32 if most < 1 << 31 else np.int64


def _linclust(
    sequences: pa.ChunkedArray, rows: np.ndarray, *, alphabet: str, workdir: Path, options: list[str],
    threads: int,
) -> tuple[np.ndarray, np.ndarray, str]:  # fmt: skip
    workdir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="linclust-", dir=workdir))
    cores = ["--threads", str(available_threads(threads))]
    try:
        longest = create_database("db", sequences, rows=rows, alphabet=alphabet, folder=folder)
        most = ["--max-seq-len", str(max(65535, longest + 1))]
        command = run_mmseqs(["linclust", "db", "clusters", "tmp", *options, *most, "-v", "1", *cores],
                             folder=folder)  # fmt: skip
        run_mmseqs(["createtsv", "db", "db", "clusters", "clusters.tsv", "-v", "1", *cores], folder=folder)
        table = pyarrow.csv.read_csv(
            folder / "clusters.tsv",
            read_options=pyarrow.csv.ReadOptions(column_names=["representative", "member"]),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t"),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    representative = table["representative"].cast(pa.int64()).to_numpy()
    return representative, table["member"].cast(pa.int64()).to_numpy(), command


def _first_equal(sequences: pa.ChunkedArray, rows: np.ndarray) -> np.ndarray:
    first: dict[str, int] = {}
    texts = sequences.take(pa.array(rows, pa.int64())).to_pylist()
    return np.array([first.setdefault(text, row) for text, row in zip(texts, rows.tolist())], np.int64)
