"""Audits a test set against a pretraining set: which test rows has a model seen?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biodata.curate.rules import RuleLog
from biodata.dataset import is_dataset, open_dataset
from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path
from biodata.io import open_records
from biodata.io.detect import detect_format, expand_inputs
from biodata.mmseqs import normalised
from biodata.progress import progress
from biodata.read_config import ReadConfig
from biodata.similarity.search import lengths_of
from biodata.splits.contained import PIECE, ContainedSettings, contained, exact_sample, pieces_of
from biodata.splits.stranger import is_table, read_rows

Molecule = Literal["dna", "rna", "protein"]
_ALPHABETS: tuple[Molecule, ...] = ("dna", "rna", "protein")
_BLOCK_LETTERS = 64 << 20
_LISTED = pa.schema([("test_id", pa.string()), ("train_id", pa.string()), ("identity", pa.float64())])


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of a set: ids and sequences, normalised."""

    ids: list[str]
    sequences: pa.ChunkedArray


@dataclass(slots=True)
class _Found:
    """What is known of the test rows so far."""

    covered: np.ndarray
    best: np.ndarray
    pairs: dict[tuple[int, str], float] = field(default_factory=dict)
    train_rows: int = 0
    train_letters: int = 0
    sampled: int = 0
    exact_pairs: int = 0
    exact_only: int = 0


def audit_against(
    test: Path | str, train: Path | str, *, alphabet: str | None = None,
    identity: float = 0.9, coverage: float = 0.8, effort: float = 20.0, threads: int = 0,
    listing: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Finds the test rows that lie in a training row: at least `coverage` of the test row at `identity`.

    Of a dataset folder or a table with a split column the test rows are `test`, the training rows `train`; of
    any other file all. Training rows stream, so a pretraining set may be larger than memory. Rows above
    4,096 letters are looked for in pieces.

    Args:
        test: dataset folder, table, or file of any format that `data build` reads.
        train: likewise; also a folder or pattern.
        alphabet: needed unless one of both is a dataset folder.
        effort: nominal core-seconds of the exact second comparison, 0 for none.
        listing: Parquet file to write the pairs to.

    Returns:
        `ok`, `problems` and `audit`, as `biodata.splits.verify.verify_dataset` does.

    Raises:
        DataError: nothing there, or nothing readable.
        ConfigError: the alphabet is missing or contradicts a dataset.
    """
    of = _alphabet([Path(test), Path(train)], alphabet)
    settings = ContainedSettings(alphabet=of, identity=identity, coverage=coverage, effort=effort,
                                 seed=0, threads=threads)  # fmt: skip
    blocks = list(_blocks(Path(test), "test", of))
    ids = [name for block in blocks for name in block.ids]
    rows = pa.chunked_array([c for block in blocks for c in block.sequences.chunks], pa.large_string())
    empty = int((lengths_of(rows) == 0).sum())
    pieces, owner, _ = pieces_of(rows, size=PIECE, overlap=0)
    kept = [at for at, text in enumerate(pieces) if text]
    pieces, owner = [pieces[at] for at in kept], owner[kept]
    if not pieces:
        raise DataError("no test row has a sequence", where=test)
    found = _Found(covered=np.zeros(len(pieces), bool), best=np.zeros(len(ids)))
    with progress("auditing against the training set") as advance:
        for block in _blocks(Path(train), "train", of):
            _compare(found, block, pieces, owner, settings)
            advance(1)
    if listing is not None:
        _write_listing(listing, ids, found)
    leaking = _leaking(found, pieces, owner, rows, coverage)
    problems = [f"{empty} test rows have no sequence"] if empty else []
    if leaking.any():
        share = f"{int(leaking.sum())} of {len(ids)} test rows ({leaking.mean():.1%})"
        problems.append(f"{share} are at least {identity:.0%} identical over {coverage:.0%} of their "
                        "length to a part of a training row")  # fmt: skip
    return {"ok": not problems, "problems": problems, "audit": _summary(found, leaking, ids, settings)}


def _compare(
    found: _Found, block: _Block, pieces: list[str], owner: np.ndarray, how: ContainedSettings
) -> None:
    kept = np.flatnonzero(lengths_of(block.sequences) > 0)
    names, records = [block.ids[at] for at in kept], block.sequences.take(pa.array(kept))
    found.train_rows += len(block.ids)
    found.train_letters += int(lengths_of(records).sum())
    if not len(names):
        return
    with tempfile.TemporaryDirectory(prefix="seqloom-against-") as folder:
        hits = contained(pieces, records, how, Path(folder))
    seen = set(hits.query.tolist())
    # the sample is compared with the first block only
    effort = how.effort if not found.sampled else 0.0
    sampled, exact = exact_sample(pieces, records, replace(how, effort=effort))
    found.sampled += len(sampled)
    found.exact_pairs += len(sampled) * len(names)
    found.exact_only += len(set(exact.query.tolist()) - seen)
    for part in (hits, exact):
        found.covered[part.query] = True
        np.maximum.at(found.best, owner[part.query], part.identity)
        for piece, record, value in zip(part.query.tolist(), part.target.tolist(), part.identity.tolist()):
            key = (int(owner[piece]), names[record])
            found.pairs[key] = max(value, found.pairs.get(key, 0.0))


def _leaking(
    found: _Found, pieces: list[str], owner: np.ndarray, rows: pa.ChunkedArray, coverage: float
) -> np.ndarray:
    """Rows of which enough letters lie in pieces that were found; of a row in one piece that is all."""
    letters = np.array([len(text) for text in pieces])
    covered = np.bincount(owner, weights=letters * found.covered, minlength=len(rows))
    return (covered > 0) & (covered >= coverage * lengths_of(rows) - 1e-9)


def _summary(found: _Found, leaking: np.ndarray, ids: list[str], how: ContainedSettings) -> dict[str, Any]:
    best = found.best[leaking].max(initial=0)
    return {
        "identity": how.identity, "coverage": how.coverage, "coverage_of": "the test row",
        "leaking_pairs": sum(bool(leaking[row]) for row, _ in found.pairs),
        "leaking_rows": int(leaking.sum()), "test_rows": len(ids), "train_rows": found.train_rows,
        "train_letters": found.train_letters, "identical_rows": int((found.best[leaking] >= 1).sum()),
        "max_identity": round(float(best), 4) if best else None,
        "method": "MMseqs2 search of test rows in overlapping windows of training rows, without loss for "
                  "short test rows; a seeded sample by edit distance against every letter",
        "exact": {"queries": found.sampled, "pairs": found.exact_pairs,
                  "found_by_it_alone": found.exact_only},
    }  # fmt: skip


def _alphabet(paths: list[Path], given: str | None) -> Molecule:
    own = {open_dataset(path).manifest.get("alphabet", "") for path in paths if is_dataset(path)}
    if given is not None:
        own.add(given)
    if not own:
        raise ConfigError(
            "neither is a seqloom dataset: say what they hold with alphabet dna, rna or protein"
        )
    if len(own) > 1:
        raise ConfigError(f"alphabets are {', '.join(sorted(own))}, allowed: one and the same for both sets")
    alphabet = own.pop()
    for name in _ALPHABETS:
        if alphabet == name:
            return name
    raise ConfigError(f"alphabet is {alphabet!r}, allowed for two sets: {', '.join(_ALPHABETS)}")


def _blocks(path: Path, part: str, alphabet: Molecule) -> Iterator[_Block]:
    """Rows of a set in blocks of about `_BLOCK_LETTERS`."""
    ids: list[str] = []
    chunks: list[pa.Array] = []
    held = 0
    for names, sequences in _batches(path, part, alphabet):
        ids += names
        chunks += normalised(sequences, alphabet=alphabet).chunks
        held += sequences.nbytes
        if held >= _BLOCK_LETTERS:
            yield _Block(ids, pa.chunked_array(chunks, pa.large_string()))
            ids, chunks, held = [], [], 0
    if ids:
        yield _Block(ids, pa.chunked_array(chunks, pa.large_string()))


def _batches(
    path: Path, part: str, alphabet: Molecule
) -> Iterator[tuple[list[str], pa.Array | pa.ChunkedArray]]:
    if is_dataset(path):
        for file in open_dataset(path).files(part):
            for batch in pq.ParquetFile(file).iter_batches(batch_size=4096, columns=["id", "sequence"]):
                yield batch["id"].to_pylist(), batch["sequence"]
        return
    if path.is_file() and is_table(path):
        ids, sequences = read_rows(path, part)
        yield ids, sequences
        return
    config = ReadConfig(inputs=(str(path),), alphabet=alphabet)
    for file in expand_inputs([str(path)]):
        for batch in open_records(file, detect_format(file), config=config, log=RuleLog()):
            yield pc.fill_null(batch["id"], "").to_pylist(), batch["sequence"]


def _write_listing(path: Path, ids: list[str], found: _Found) -> None:
    pairs = sorted((row, name, value) for (row, name), value in found.pairs.items())
    table = pa.table([[ids[row] for row, _, _ in pairs], [name for _, name, _ in pairs],
                      [value for _, _, value in pairs]], schema=_LISTED)  # fmt: skip
    with atomic_path(path) as part:
        pq.write_table(table, part)
