"""Finds every pair of rows that are alike: MMseqs2's alignment search, with counted letters.

A pair counts when the alignment's identity (matching columns over all columns, gaps included) reaches
`identity` and the alignment covers `coverage` of both sequences. The numbers are computed here from the
counted letters, not read from the rounded text that MMseqs2 prints.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.errors import ConfigError
from biodata.mmseqs import NUCLEOTIDES, available_threads, create_database, run_mmseqs
from biodata.similarity.alignments import ALIGNMENT_FORMAT, read_alignments

# Alignment is quadratic in length: rows of more letters are compared by `biodata.similarity.sketch`.
LONG = 32_768


class Hits(NamedTuple):
    """Pairs of rows that are alike.

    Attributes:
        query: int64 row numbers.
        target: int64 row numbers, none equal to its query.
        identity: float64, 0 to 1.
    """

    query: np.ndarray
    target: np.ndarray
    identity: np.ndarray


NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How hard to look. Identity and coverage say what counts, these say what is compared.

    Attributes:
        identity: least alignment identity, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment, above 0, at most 1.
        sensitivity: MMseqs2 `-s`, 1 to 7.5, proteins only.
        kmer: MMseqs2 `-k`, 0 its own choice; nucleotides need 11 or so (15, its choice, takes 8 GB).
        spaced: spaced k-mers, MMseqs2 `--spaced-kmer-mode`.
        max_seqs: most targets aligned for one query.
        both_strands: also compare reverse complements, nucleotides only.
        cover: sequences that `coverage` is asked of.
    """

    identity: float
    coverage: float
    sensitivity: float = 4.0
    kmer: int = 0
    spaced: bool = True
    max_seqs: int = 1000
    both_strands: bool = True
    cover: Literal["both", "query"] = "both"

    def covering(self, cover: Literal["both", "query"]) -> SearchSettings:
        """The same, with the coverage of other sequences asked for."""
        return replace(self, cover=cover)

    def __post_init__(self) -> None:
        for name in ("identity", "coverage"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigError(f"{name} is {value}, allowed: above 0, at most 1")


def repair_settings(*, alphabet: str, identity: float, coverage: float) -> SearchSettings:
    """The search that repairs: quick, as complete as the audit on the data measured.

    Args:
        alphabet: dna, rna or protein.
        identity: least identity of a pair, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment, above 0, at most 1.
    """
    return SearchSettings(
        identity=identity, coverage=coverage, sensitivity=4.0, max_seqs=100,
        spaced=alphabet not in NUCLEOTIDES, kmer=12 if alphabet in NUCLEOTIDES else 0,
        both_strands=alphabet == "dna",
    )  # fmt: skip


def audit_settings(*, alphabet: str, identity: float, coverage: float) -> SearchSettings:
    """The search that audits: other k-mers, the highest sensitivity, long lists.

    Args:
        alphabet: dna, rna or protein.
        identity: least identity of a pair, above 0, at most 1.
        coverage: least fraction of both sequences in the alignment, above 0, at most 1.
    """
    return replace(
        repair_settings(alphabet=alphabet, identity=identity, coverage=coverage),
        sensitivity=7.5, max_seqs=300, spaced=True, kmer=11 if alphabet in NUCLEOTIDES else 0,
    )  # fmt: skip


def search(
    sequences: pa.ChunkedArray, settings: SearchSettings, *, alphabet: str, queries: np.ndarray,
    targets: np.ndarray, workdir: Path, threads: int = 0,
) -> tuple[Hits, str]:  # fmt: skip
    """All pairs of a query row and a target row that are alike.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`), none empty.
        queries: int64 row numbers.
        targets: int64 row numbers; a row in both is not compared with itself.
        workdir: where a folder is made for the run and deleted after it.
        threads: 0 uses every core.

    Returns:
        The pairs, sorted by query and target, each once, and the command for the manifest.
    """
    if not len(queries) or not len(targets):
        return NO_HITS, ""
    workdir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="search-", dir=workdir))
    try:
        longest = create_database("q", sequences, rows=queries, alphabet=alphabet, folder=folder)
        target = "t"
        if np.array_equal(queries, targets):
            target = "q"
        else:
            rows = create_database("t", sequences, rows=targets, alphabet=alphabet, folder=folder)
            longest = max(longest, rows)
        arguments = ["search", "q", target, "hits", "tmp", *_options(settings, alphabet, longest)]
        command = run_mmseqs([*arguments, "--threads", str(available_threads(threads))], folder=folder)
        run_mmseqs(
            ["convertalis", "q", target, "hits", "hits.tsv", "--format-output", ALIGNMENT_FORMAT,
             "--search-type", _search_type(alphabet), "-v", "1",
             "--threads", str(available_threads(threads))], folder=folder,
        )  # fmt: skip
        return _read_hits(folder / "hits.tsv", settings), command
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def merge_hits(*parts: Hits) -> Hits:
    """Pairs of several sources, lower row first, each once with its highest identity, sorted."""
    keys = np.concatenate([keys_of(p.query, p.target) for p in parts])
    identity = np.concatenate([p.identity for p in parts])
    order = np.lexsort((-identity, keys))
    keys, identity = keys[order], identity[order]
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    return Hits(*rows_of(keys[new]), identity[new])


def keys_of(query: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pairs of rows as single uint64, lower row first; rows below 2^32.

    >>> rows_of(keys_of(np.array([5, 1]), np.array([2, 7])))
    (array([2, 1]), array([5, 7]))
    """
    low, high = np.minimum(query, target), np.maximum(query, target)
    return low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64)


def rows_of(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and higher rows of `keys_of`, int64."""
    low, high = keys >> np.uint64(32), keys & np.uint64((1 << 32) - 1)
    return low.astype(np.int64), high.astype(np.int64)


def select(hits: Hits, keep: np.ndarray) -> Hits:
    """The pairs of a mask."""
    return Hits(hits.query[keep], hits.target[keep], hits.identity[keep])


def _search_type(alphabet: str) -> str:
    return "3" if alphabet in NUCLEOTIDES else "1"


def _options(settings: SearchSettings, alphabet: str, longest: int) -> list[str]:
    # -e: no pair may go unseen for being short; --mask 0: nor for being of low complexity.
    # The floor below the thresholds lets rounding be judged here, and shows the nearest miss.
    options = {
        "--search-type": _search_type(alphabet),
        "-a": "1",  # without the backtrace MMseqs2 reports 0 identical letters
        "--min-seq-id": f"{max(0.0, settings.identity - 0.1):.3f}",
        "-c": f"{max(0.0, settings.coverage - 0.01):.3f}",
        "--cov-mode": "0" if settings.cover == "both" else "2",
        "-e": "1e6",
        "--mask": "0",
        "--max-seqs": str(settings.max_seqs),
        "--spaced-kmer-mode": str(int(settings.spaced)),
        "--max-seq-len": str(max(65535, longest + 1)),
        "-v": "1",
    }
    if alphabet in NUCLEOTIDES:
        options |= {"-k": str(settings.kmer), "--strand": "2" if settings.both_strands else "1"}
    else:
        options |= {"-s": f"{settings.sensitivity:g}", "--comp-bias-corr": "0"}
    return [word for pair in options.items() for word in pair]


def _read_hits(path: Path, settings: SearchSettings) -> Hits:
    found = read_alignments(path)
    least = found.query_cover
    if settings.cover == "both":
        least = np.minimum(least, found.target_cover)
    hits = Hits(found.query, found.target, found.identity)
    return _unique(select(hits, (least >= settings.coverage) & (hits.query != hits.target)))


def _unique(hits: Hits) -> Hits:
    order = np.lexsort((-hits.identity, hits.target, hits.query))
    hits = Hits(*(part[order] for part in hits))
    new = np.ones(len(hits.query), bool)
    new[1:] = (hits.query[1:] != hits.query[:-1]) | (hits.target[1:] != hits.target[:-1])
    return select(hits, new)


def lengths_of(sequences: pa.ChunkedArray) -> np.ndarray:
    """Number of letters of each sequence, int64."""
    return pc.cast(pc.call_function("binary_length", [sequences]), pa.int64()).to_numpy()
