"""What a probe reads of a task: vectors, token matrices or the sequences themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.cache import EmbeddingCache, checked_vectors
from bioeval.protocols import Embedder, HasTokens, Inputs, Part
from bioeval.running.items import labelled
from bioeval.tasks import Task

MOST_POSITIONS = 50_000  # of train and of validation, for probes on single positions
MOST_BYTES = 8 << 30  # of the token vectors of a split
_ROWS = 256  # of a token task embedded at once


@runtime_checkable
class HasPairs(Protocol):
    """An embedder that makes one vector of two sequences, in its own way."""

    def embed_pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the splits of a task for one embedder and one kind of probe.

    Attributes:
        task: rows and targets.
        embedder: what makes vectors of them.
        reads: `vectors`, `tokens` or `sequences`, as the probe says.
        cache: where vectors are kept; `None` for embedders that are faster than reading.
        seed: of the draw of positions where there are too many.
    """

    task: Task
    embedder: Embedder
    reads: str
    cache: EmbeddingCache | None
    seed: int = 0

    def part(self, split: str) -> Part:
        """Features and targets of train or validation.

        Raises:
            ConfigError: the embedder cannot give what the probe reads, or the kind has no use for it.
            DataError: token vectors that do not fit into memory.
        """
        task = self.task
        classes = 0 if task.kind == "multi-label" else len(task.classes)
        if task.kind == "token":
            return self._positions(split, classes)
        inputs = self._inputs(split)
        return Part(
            x=inputs.x, lengths=inputs.lengths, sequences=inputs.sequences, y=task.values(split),
            classes=classes,
        )  # fmt: skip

    def inputs(self, split: str) -> Iterator[Inputs]:
        """What is predicted from, piece by piece in the order of the items."""
        if self.task.kind != "token":
            yield self._inputs(split)
            return
        for x, y in self._pieces(split):
            kept = labelled(y)
            if kept.any():
                yield Inputs(x=x[kept])

    def _inputs(self, split: str) -> Inputs:
        sequences = self.task.sequences(split)
        if self.reads == "sequences":
            self._only_single()
            return Inputs(sequences=tuple(sequences))
        if self.reads == "tokens":
            self._only_single()
            rows = self._tokens(sequences, width=self._token_width)
            lengths = np.array([len(row) for row in rows])
            _check_size(lengths.sum() * rows[0].shape[1] * 4, split)
            return Inputs(x=np.concatenate(rows), lengths=lengths)
        if self.task.kind != "pairs":
            return Inputs(x=self._vectors(sequences))
        return Inputs(x=self._pairs(sequences, self.task.seconds(split) or []))

    def _positions(self, split: str, classes: int) -> Part:
        """Labelled positions, at most `MOST_POSITIONS` drawn evenly over the rows."""
        total = int(labelled(self.task.values(split)).sum())
        share = min(1.0, MOST_POSITIONS / max(1, total))
        rng = np.random.default_rng(self.seed)
        found = []
        for x, y in self._pieces(split):
            kept = labelled(y)
            if share < 1:
                kept &= rng.random(len(kept)) < share
            found.append((x[kept], y[kept]))
        x, y = (np.concatenate(side) for side in zip(*found))
        return Part(x=x, y=y, classes=classes)

    def _pieces(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.reads != "vectors":
            raise ConfigError(
                f"task {self.task.name!r} labels single positions: choose a probe on vectors, such as "
                "logistic, ridge, knn, mlp or random-forest"
            )
        sequences, targets = self.task.sequences(split), self.task.token_values(split)
        for start in range(0, len(sequences), _ROWS):
            some = slice(start, start + _ROWS)
            rows = self._tokens(sequences[some], width=self.task.width)
            for row, y in zip(rows, targets[some]):
                if len(row) != len(y):
                    raise DataError(
                        f"{len(row)} positions of a sequence with {len(y)} targets", where=self.embedder.name
                    )
            yield np.concatenate(rows), np.concatenate(targets[some])

    def _vectors(self, sequences: Sequence[str]) -> np.ndarray:
        if self.cache is None:
            return checked_vectors(self.embedder, sequences)
        return self.cache.embed(self.embedder, sequences)

    def _tokens(self, sequences: Sequence[str], *, width: int) -> list[np.ndarray]:
        if not isinstance(self.embedder, HasTokens):
            raise ConfigError(f"{self.embedder.name} gives one vector a sequence, but vectors of positions "
                              f"are needed: it has no embed_tokens")  # fmt: skip
        if self.cache is None:
            return self.embedder.embed_tokens(sequences, width=width)
        return self.cache.embed_tokens(self.embedder, sequences, width=width)

    def _pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        if isinstance(self.embedder, HasPairs):
            return self.embedder.embed_pairs(first, second)
        return joined(self._vectors(first), self._vectors(second))

    def _only_single(self) -> None:
        if self.task.kind == "pairs":
            raise ConfigError(f"task {self.task.name!r} has pairs of sequences: choose a probe on vectors")

    @property
    def _token_width(self) -> int:
        """Models read their own tokens; baselines have none and read units."""
        return 0 if self.cache is not None else self.task.width


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One vector of two: both, their absolute difference and their product (arXiv:1705.02364, section 3.1).

    >>> joined(np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]])).tolist()
    [[1.0, 2.0, 3.0, 5.0, 2.0, 3.0, 3.0, 10.0]]
    """
    return np.concatenate([first, second, np.abs(first - second), first * second], axis=1)


def _check_size(size: int, split: str) -> None:
    if size > MOST_BYTES:
        hint = "take a probe on vectors, or fewer rows"
        raise DataError(f"token vectors of the {split} rows need {size / 2**30:.0f} GiB of memory", hint=hint)
