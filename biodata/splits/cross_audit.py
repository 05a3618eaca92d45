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

from biodata.curate.molecules import smiles_to_selfies
from biodata.curate.rules import RuleLog
from biodata.dataset import is_dataset, open_dataset
from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path
from biodata.io import open_records
from biodata.io.detect import detect_format, expand_inputs
from biodata.mmseqs import normalised
from biodata.progress import progress
from biodata.read_config import ReadConfig
from biodata.similarity.search import Hits, lengths_of
from biodata.splits.contained import (
    PIECE,
    ContainedSettings,
    alike_molecules,
    contained,
    exact_sample,
    pieces_of,
)
from biodata.splits.stranger import is_table, read_rows

Molecule = Literal["dna", "rna", "protein", "selfies"]
_ALPHABETS: tuple[Molecule, ...] = ("dna", "rna", "protein", "selfies")
_BLOCK_LETTERS = 64 << 20
_SEQUENCES = ("MMseqs2 search of test rows in overlapping windows of training rows, without loss for "
              "short test rows; a seeded sample by edit distance against every letter")  # fmt: skip
_MOLECULES = "edit distance of SELFIES tokens, every pair of a test and a training molecule"
_LISTED = pa.schema([("test_id", pa.string()), ("train_id", pa.string()), ("identity", pa.float64())])


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of a set: ids and sequences, normalised; molecules as SELFIES."""

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
    train_empty: int = 0
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
    4,096 letters are looked for in pieces. Molecules (SELFIES, or SMILES, which become SELFIES) are compared
    as wholes: a test row is alike a training row over `coverage` of both.

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
    size = PIECE if of != "selfies" else max(1, int(lengths_of(rows).max()))
    pieces, owner, _ = pieces_of(rows, size=size, overlap=0)
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
        alike = (f"{identity:.0%} identical over {coverage:.0%} of their length to a part of a training row"
                 if of != "selfies" else f"{identity:.0%} identical to a training molecule")  # fmt: skip
        problems.append(f"{share} are at least {alike}")
    return {"ok": not problems, "problems": problems, "audit": _summary(found, leaking, ids, settings)}


def _compare(
    found: _Found, block: _Block, pieces: list[str], owner: np.ndarray, how: ContainedSettings
) -> None:
    kept = np.flatnonzero(lengths_of(block.sequences) > 0)
    names, records = [block.ids[at] for at in kept], block.sequences.take(pa.array(kept))
    found.train_rows += len(block.ids)
    found.train_letters += int(lengths_of(records).sum())
    found.train_empty += len(block.ids) - len(names)
    if not len(names):
        return
    if how.alphabet == "selfies":
        parts = [alike_molecules(pieces, records, how)]
        found.sampled = len(pieces)
        found.exact_pairs += len(pieces) * len(names)
    else:
        parts = _contained(found, pieces, records, how)
    for part in parts:
        found.covered[part.query] = True
        np.maximum.at(found.best, owner[part.query], part.identity)
        for piece, record, value in zip(part.query.tolist(), part.target.tolist(), part.identity.tolist()):
            key = (int(owner[piece]), names[record])
            found.pairs[key] = max(value, found.pairs.get(key, 0.0))


def _contained(
    found: _Found, pieces: list[str], records: pa.ChunkedArray, how: ContainedSettings
) -> list[Hits]:
    with tempfile.TemporaryDirectory(prefix="seqloom-against-") as folder:
        hits = contained(pieces, records, how, Path(folder))
    # the sample is compared with the first block only
    effort = how.effort if not found.sampled else 0.0
    sampled, exact = exact_sample(pieces, records, replace(how, effort=effort))
    found.sampled += len(sampled)
    found.exact_pairs += len(sampled) * len(records)
    found.exact_only += len(set(exact.query.tolist()) - set(hits.query.tolist()))
    return [hits, exact]


def _leaking(
    found: _Found, pieces: list[str], owner: np.ndarray, rows: pa.ChunkedArray, coverage: float
) -> np.ndarray:
    """Rows of which enough letters lie in pieces that were found; of a row in one piece that is all."""
    letters = np.array([len(text) for text in pieces])
    covered = np.bincount(owner, weights=letters * found.covered, minlength=len(rows))
    return (covered > 0) & (covered >= coverage * lengths_of(rows) - 1e-9)


def _summary(found: _Found, leaking: np.ndarray, ids: list[str], how: ContainedSettings) -> dict[str, Any]:
    best = found.best[leaking].max(initial=0)
    whole = how.alphabet == "selfies"
    return {
        "identity": how.identity, "coverage": how.coverage,
        "coverage_of": "both molecules" if whole else "the test row",
        "leaking_pairs": sum(bool(leaking[row]) for row, _ in found.pairs),
        "leaking_rows": int(leaking.sum()), "test_rows": len(ids), "train_rows": found.train_rows,
        "train_letters": found.train_letters, "train_rows_empty": found.train_empty,
        "identical_rows": int((found.best[leaking] >= 1).sum()),
        "max_identity": round(float(best), 4) if best else None,
        "method": _MOLECULES if whole else _SEQUENCES,
        "exact": {"queries": found.sampled, "pairs": found.exact_pairs,
                  "found_by_it_alone": found.exact_only},
    }  # fmt: skip


def _alphabet(paths: list[Path], given: str | None) -> Molecule:
    own = {open_dataset(path).manifest.get("alphabet", "") for path in paths if is_dataset(path)}
    if given is not None:
        own.add(given)
    if not own:
        raise ConfigError(
            f"neither is a seqloom dataset: say what they hold with alphabet {', '.join(_ALPHABETS)}"
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
        chunks += _compared(sequences, alphabet).chunks
        held += sequences.nbytes
        if held >= _BLOCK_LETTERS:
            yield _Block(ids, pa.chunked_array(chunks, pa.large_string()))
            ids, chunks, held = [], [], 0
    if ids:
        yield _Block(ids, pa.chunked_array(chunks, pa.large_string()))


def _compared(sequences: pa.Array | pa.ChunkedArray, alphabet: Molecule) -> pa.ChunkedArray:
    # the letters of SELFIES tokens depend on what is compared: they are given then
    if alphabet == "selfies":
        return pa.chunked_array([pc.cast(sequences, pa.large_string())])
    return normalised(sequences, alphabet=alphabet)


def _batches(
    path: Path, part: str, alphabet: Molecule
) -> Iterator[tuple[list[str], pa.Array | pa.ChunkedArray]]:
    if is_dataset(path):
        for file in open_dataset(path).files(part):
            for batch in pq.ParquetFile(file).iter_batches(batch_size=4096, columns=["id", "sequence"]):
                yield batch["id"].to_pylist(), batch["sequence"]
        return
    if path.is_file() and is_table(path, alphabet):
        yield read_rows(path, part, alphabet=alphabet)
        return
    config = ReadConfig(inputs=(str(path),), alphabet=alphabet)
    for file in expand_inputs([str(path)]):
        kind = detect_format(file)
        if alphabet == "selfies" and is_table(file, alphabet):
            yield read_rows(file, part, alphabet=alphabet)
            continue
        for batch in open_records(file, kind, config=config, log=RuleLog()):
            texts = batch["sequence"]
            if alphabet == "selfies" and kind != "seqloom":
                texts = pa.array(smiles_to_selfies(texts.to_pylist())[0], pa.large_string())
            yield pc.fill_null(batch["id"], "").to_pylist(), texts


def _write_listing(path: Path, ids: list[str], found: _Found) -> None:
    pairs = sorted((row, name, value) for (row, name), value in found.pairs.items())
    table = pa.table([[ids[row] for row, _, _ in pairs], [name for _, name, _ in pairs],
                      [value for _, _, value in pairs]], schema=_LISTED)  # fmt: skip
    with atomic_path(path) as part:
        pq.write_table(table, part)
