"""Rows similar to denied sequences: a search of every row against a FASTA of what must not be learnt.

Here one sequence may be a small part of the other (a gene in a genome), so the coverage is that of the
shorter one. Long sequences are compared in overlapping pieces; sequences too short for the search (`SHORT`)
count when one contains the other, read both ways for DNA.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biodata.alphabet import get_alphabet, reverse_complement
from biodata.errors import DataError
from biodata.io.fasta import read_fasta
from biodata.mmseqs import NUCLEOTIDES, available_threads, create_database, normalised, run_mmseqs
from biodata.similarity.alignments import ALIGNMENT_FORMAT, read_alignments
from biodata.similarity.pairwise import EPSILON
from biodata.similarity.search import lengths_of

PIECE, STEP = 10_000, 5_000
SHORT = {"protein": 32, "dna": 100, "rna": 100}
"""Length below which a sequence is compared by containment."""
_SEED = {"protein": 8, "dna": 20, "rna": 20}  # shorter rows say too little to be compared


class Denied(NamedTuple):
    """The denied sequences: names, and normalised letters."""

    names: list[str]
    sequences: pa.ChunkedArray


def read_denied(path: Path, *, alphabet: str) -> Denied:
    """Reads the FASTA of denied sequences.

    Raises:
        DataError: no sequence there, or letters outside the alphabet of the dataset.
    """
    batches = list(read_fasta(path))
    names = [name for batch in batches for name in batch["id"].to_pylist()]
    if not names:
        raise DataError("no sequence to deny", where=path)
    texts = normalised(pa.chunked_array([batch["sequence"] for batch in batches]), alphabet=alphabet)
    letters = get_alphabet("dna" if alphabet == "rna" else alphabet)
    for name, text in zip(names, texts.to_pylist()):
        if not text or letters.invalid_symbols(text):
            wrong = "".join(sorted(letters.invalid_symbols(text)))[:10]
            what = f"letters {wrong!r} are not in alphabet {alphabet!r}" if wrong else "no letters"
            raise DataError(f"denied sequence {name!r}: {what}", where=path)
    return Denied(names, texts)


def find_denied(
    sequences: pa.ChunkedArray, denied: Denied, *, alphabet: str, identity: float, coverage: float,
    workdir: Path, threads: int = 0,
) -> dict[int, str]:  # fmt: skip
    """Rows similar to a denied sequence, each with the name of one.

    Args:
        sequences: normalised sequences (`biodata.mmseqs.normalised`), none empty.
        denied: of `read_denied`.
        identity: least alignment identity, 0 to 1.
        coverage: least part of the shorter of the two that is aligned, 0 to 1.
        workdir: where a folder is made for the run and deleted after it.
        threads: 0 uses every core.
    """
    found = _contained(sequences, denied, alphabet)
    pieces, owners = _pieces(sequences, SHORT[alphabet])
    targets, names = _pieces(denied.sequences, SHORT[alphabet])
    if len(pieces) and len(targets):
        hits = _search(pieces, targets, alphabet, identity, workdir, threads)
        good = (hits["identity"] >= identity - EPSILON) & (hits["cover"] >= coverage - EPSILON)
        for query, target in zip(hits["query"][good].tolist(), hits["target"][good].tolist()):
            found.setdefault(int(owners[query]), denied.names[int(names[target])])
    return dict(sorted(found.items()))


def _pieces(sequences: pa.ChunkedArray, least: int) -> tuple[pa.ChunkedArray, npt.NDArray[np.int64]]:
    """Sequences of at least `least` letters, the long ones in overlapping pieces, and whose they are."""
    lengths = lengths_of(sequences)
    short_enough = np.flatnonzero((lengths >= least) & (lengths <= PIECE))
    texts = [sequences.take(pa.array(short_enough)).cast(pa.large_string())]
    owners = [short_enough]
    for row in np.flatnonzero(lengths > PIECE).tolist():
        text = sequences[row].as_py()
        cut = [text[at : at + PIECE] for at in range(0, len(text) - STEP, STEP)]
        texts.append(pa.chunked_array([pa.array(cut, pa.large_string())]))
        owners.append(np.full(len(cut), row))
    chunks = [chunk for column in texts for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.large_string()), np.concatenate(owners)


def _search(
    pieces: pa.ChunkedArray, targets: pa.ChunkedArray, alphabet: str, identity: float, workdir: Path,
    threads: int,
) -> dict[str, npt.NDArray[np.float64]]:  # fmt: skip
    workdir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="denied-", dir=workdir))
    kind = "3" if alphabet in NUCLEOTIDES else "1"
    cores = ["--threads", str(available_threads(threads)), "-v", "1"]
    least = f"{max(0.0, identity - 0.1):.3f}"
    options = ["--search-type", kind, "-a", "1", "--min-seq-id", least, "-e", "1e3", "--mask", "0",
               "--max-seqs", "300"]  # fmt: skip
    options += ["-k", "11", "--strand", "2"] if alphabet in NUCLEOTIDES else ["-s", "7.5"]
    try:
        create_database("q", pieces, rows=np.arange(len(pieces)), alphabet=alphabet, folder=folder)
        create_database("t", targets, rows=np.arange(len(targets)), alphabet=alphabet, folder=folder)
        run_mmseqs(["search", "q", "t", "hits", "tmp", *options, *cores], folder=folder)
        run_mmseqs(["convertalis", "q", "t", "hits", "hits.tsv", "--format-output", ALIGNMENT_FORMAT,
                    "--search-type", kind, *cores], folder=folder)  # fmt: skip
        return _read(folder / "hits.tsv")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    found = read_alignments(path)
    return {"query": found.query, "target": found.target, "identity": found.identity,
            "cover": np.where(found.query_is_longer, found.target_cover, found.query_cover)}  # fmt: skip


def _contained(sequences: pa.ChunkedArray, denied: Denied, alphabet: str) -> dict[int, str]:
    """Rows that are a part of a denied sequence or hold one, where one of the two is short."""
    found: dict[int, str] = {}
    seed, least = _SEED[alphabet], SHORT[alphabet]
    texts = [
        (n, t) for n, text in zip(denied.names, denied.sequences.to_pylist()) for t in _both(text, alphabet)
    ]
    where: dict[str, int] = {}
    for number, (_, text) in enumerate(texts):
        for at in range(len(text) - seed + 1):
            where.setdefault(text[at : at + seed], number)
    lengths = lengths_of(sequences)
    for row in np.flatnonzero((lengths >= seed) & (lengths < least)).tolist():
        short = sequences[row].as_py()
        if short[:seed] in where:
            inside = next((name for name, text in texts if short in text), None)
            if inside is not None:
                found[row] = inside
    for name, text in texts:
        if seed <= len(text) < least:
            holds = pc.call_function("match_substring", [sequences], pc.MatchSubstringOptions(text))
            for row in np.flatnonzero(holds.to_numpy()).tolist():
                found.setdefault(row, name)
    return found


def _both(text: str, alphabet: str) -> tuple[str, ...]:
    return (text, reverse_complement(text)) if alphabet == "dna" else (text,)
