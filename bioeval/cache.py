"""What models said of sequences, kept by content: never computed twice, and never confused.

A folder for each key (an embedder's, a scorer's), Parquet files of rows (checksum of the sequence, values)
inside. A file appears whole or not at all and its name is its own. So a stopped run continues where it was,
and processes may fill one folder together: each looks, before every block, for what the others have written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biodata.errors import DataError
from biodata.files import fingerprint
from biodata.progress import progress
from biodata.schema import checksum
from bioeval.protocols import Embedder, HasTokens, Scorer, SequenceScores
from bioeval.shelf import Shelf, ShelfWriter

_WORK_PER_BLOCK = float(1 << 18)  # letters, or what costs as much; what a killed process loses is little
_ROWS_PER_BLOCK = 256
_SCORE_COLUMNS = 3


def cache_root() -> Path:
    """`SEQLOOM_CACHE`, else `~/.cache/seqloom`."""
    return Path(os.environ.get("SEQLOOM_CACHE") or Path.home() / ".cache" / "seqloom").expanduser()


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """How rows are made.

    Attributes:
        name: of the model, for people.
        key: of everything that a row depends on except its sequence.
        doing: what the progress bar says.
        make: rows of sequences, arrays of one shape or `[t, d]` with t of each its own.
        work: of a sequence, in letters that are read once.
    """

    name: str
    key: str
    doing: str
    make: Callable[[Sequence[str]], Sequence[np.ndarray]]
    work: Callable[[str], float] = len


class EmbeddingCache:
    """Rows on disk by model and sequence.

    Args:
        folder: where; `None` takes `cache_root()/embeddings`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_root() / "embeddings"
        self._shelves: dict[str, Shelf] = {}

    def embed(self, embedder: Embedder, sequences: Sequence[str]) -> np.ndarray:
        """`embedder.embed(sequences)`, only for distinct sequences that are not there yet.

        Of an embedder that says `cached = False` nothing is kept.

        Raises:
            DataError: a cache file is damaged, or the embedder returns another shape or values that are no
                finite numbers.
        """
        if not getattr(embedder, "cached", True):
            return checked_vectors(embedder, sequences)
        maker = Maker(
            name=embedder.name, key=embedder.key, doing=f"embedding with {embedder.name}",
            make=lambda part: list(checked_vectors(embedder, part)),
        )  # fmt: skip
        rows = self.rows(maker, sequences)
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)

    def embed_tokens(self, embedder: HasTokens, sequences: Sequence[str], *, width: int) -> list[np.ndarray]:
        """`embedder.embed_tokens(sequences, width=width)`, in the same way.

        Args:
            embedder: also an `Embedder`.
            sequences: what is embedded.
            width: letters of a unit; 0 for one row a token.

        Raises:
            DataError: as `embed`.
        """
        assert isinstance(embedder, Embedder)
        maker = Maker(
            name=embedder.name, key=fingerprint([embedder.key, "tokens", width]),
            doing=f"embedding with {embedder.name}",
            make=lambda part: _checked_tokens(embedder, part, width),
        )  # fmt: skip
        return self.rows(maker, sequences)

    def score(self, scorer: Scorer, sequences: Sequence[str]) -> SequenceScores:
        """`scorer.score(sequences)`, in the same way.

        Raises:
            DataError: a cache file is damaged, or the scorer returns values that are no finite numbers.
        """
        work = getattr(scorer, "work", len)
        maker = Maker(
            name=scorer.name, key=scorer.key, doing=f"scoring with {scorer.name}",
            make=lambda part: list(_checked_scores(scorer, part)), work=work,
        )  # fmt: skip
        rows = self.rows(maker, sequences)
        table = np.stack(rows) if rows else np.zeros((0, _SCORE_COLUMNS))
        total, n_tokens, error = np.ascontiguousarray(table.T)
        return SequenceScores(total=total, n_tokens=n_tokens.astype(np.int64), error=error)

    def rows(self, maker: Maker, sequences: Sequence[str]) -> list[np.ndarray]:
        """The rows of sequences, in their order; equal sequences share one."""
        sums = [checksum(sequence) for sequence in sequences]
        wanted = dict(zip(sums, sequences))
        shelf = self._shelf(maker.key)
        made = self._fill(maker, shelf, wanted)
        found = made | shelf.read(wanted.keys() - made.keys())
        return [found[c] for c in sums]

    def _fill(self, maker: Maker, shelf: Shelf, wanted: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Makes what is missing; what this process made."""
        shelf.look()
        missing = [c for c in wanted if c not in shelf]
        missing.sort(key=lambda c: (-len(wanted[c]), c))  # alike in length together: little padding
        made: dict[str, np.ndarray] = {}
        about = {"seqloom.embedder": maker.name, "seqloom.embedding_key": maker.key}
        with progress(maker.doing, len(missing)) as advance, ShelfWriter(shelf, about) as writer:
            for block in _blocks(missing, lambda c: maker.work(wanted[c])):
                shelf.look()
                left = [c for c in block if c not in shelf]
                if left:
                    rows = maker.make([wanted[c] for c in left])
                    writer.add(left, rows)
                    made.update(zip(left, rows))
                advance(len(block))
        return made

    def _shelf(self, key: str) -> Shelf:
        folder = self.folder / hashlib.sha256(key.encode()).hexdigest()[:32]
        return self._shelves.setdefault(key, Shelf(folder))


def checked_vectors(embedder: Embedder, sequences: Sequence[str]) -> np.ndarray:
    """`embedder.embed(sequences)` as float32 `[n, d]`, refused where it is anything else.

    Raises:
        DataError: naming the embedder and the shape, or the first sequence with a value that is not finite.
    """
    vectors = np.asarray(embedder.embed(sequences))
    if vectors.ndim != 2 or len(vectors) != len(sequences) or vectors.shape[1] == 0:
        hint = f"[{len(sequences)}, d] expected"
        raise DataError(f"embeddings have shape {list(vectors.shape)}", where=embedder.name, hint=hint)
    _check_finite(embedder.name, "embedding", np.asarray(np.isfinite(vectors).all(axis=1)), sequences)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _checked_tokens(embedder: HasTokens, sequences: Sequence[str], width: int) -> list[np.ndarray]:
    rows = [np.asarray(row) for row in embedder.embed_tokens(sequences, width=width)]
    name = getattr(embedder, "name", "embedder")
    wrong = next((row for row in rows if row.ndim != 2), None)
    if len(rows) != len(sequences) or wrong is not None:
        shape = list(wrong.shape) if wrong is not None else len(rows)
        raise DataError(
            f"embeddings have shape {shape}", where=name, hint=f"{len(sequences)} x [t, d] expected"
        )
    _check_finite(name, "embedding", np.array([np.isfinite(row).all() for row in rows]), sequences)
    return [np.ascontiguousarray(row, dtype=np.float32) for row in rows]


def _checked_scores(scorer: Scorer, sequences: Sequence[str]) -> np.ndarray:
    found = scorer.score(sequences)
    columns = (found.total, found.n_tokens, found.error)
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    if table.shape != (len(sequences), _SCORE_COLUMNS):
        hint = f"[{len(sequences)}] expected"
        raise DataError(f"scores have shape {list(np.shape(found.total))}", where=scorer.name, hint=hint)
    _check_finite(scorer.name, "score", np.asarray(np.isfinite(table).all(axis=1)), sequences)
    return table


def _check_finite(name: str, what: str, finite: np.ndarray, sequences: Sequence[str]) -> None:
    if not finite.all():
        which = sequences[int(np.argmin(finite))]
        text = f"{what} of {which[:20]!r}... ({len(which)} letters) holds values that are no finite numbers"
        raise DataError(text, where=name)


def _blocks(keys: Sequence[str], work: Callable[[str], float]) -> Iterator[list[str]]:
    block: list[str] = []
    total = 0.0
    for key in keys:
        block.append(key)
        total += work(key)
        if total >= _WORK_PER_BLOCK or len(block) >= _ROWS_PER_BLOCK:
            yield block
            block, total = [], 0.0
    if block:
        yield block
