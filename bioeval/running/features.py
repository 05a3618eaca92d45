"""What a probe reads of a task: vectors, token matrices or the sequences themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np

from biodata.errors import ConfigError, DataError
from bioeval.cache import EmbeddingCache, checked_vectors
from bioeval.protocols import Embedder, HasTokens, Inputs, Part
from bioeval.running.items import labelled
from bioeval.tasks import Task

MOST_POSITIONS = 50_000  # of train and of validation, for probes on vectors of single positions
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
            ConfigError: the embedder cannot give what the probe reads.
            DataError: token vectors that do not fit into memory.
        """
        task = self.task
        classes = 0 if task.kind == "multi-label" else len(task.classes)
        if task.kind == "token" and self.reads == "vectors":
            return self._positions(split, classes)
        if task.kind == "token":
            y = task.values(split)
            return _with_targets(self._in_rows(*self._labelled_rows(split), split), y[labelled(y)], classes)
        return _with_targets(self._inputs(split), task.values(split), classes)

    def inputs(self, split: str) -> Iterator[Inputs]:
        """What is predicted from, piece by piece in the order of the items."""
        if self.task.kind != "token":
            yield self._inputs(split)
            return
        if self.reads != "vectors":
            sequences, marks = self._labelled_rows(split)
            for start in range(0, len(sequences), _ROWS):
                some = slice(start, start + _ROWS)
                yield self._in_rows(sequences[some], marks[some], split)
            return
        for x, y in self._pieces(split):
            kept = labelled(y)
            if kept.any():
                yield Inputs(x=x[kept])

    def _inputs(self, split: str) -> Inputs:
        sequences = self.task.sequences(split)
        pairs = self.task.kind == "pairs"
        second = (self.task.seconds(split) or []) if pairs else []
        if self.reads == "sequences":
            return Inputs(sequences=(*sequences, *second), pairs=pairs)
        if self.reads == "tokens":
            rows = self._tokens([*sequences, *second], width=self._token_width)
            return Inputs(x=_stacked(rows, split), lengths=np.array([len(row) for row in rows]), pairs=pairs)
        return Inputs(x=self._pairs(sequences, second) if pairs else self._vectors(sequences))

    def _labelled_rows(self, split: str) -> tuple[list[str], list[np.ndarray]]:
        """The sequences with a label, and which of their positions have one."""
        marks = [labelled(y) for y in self.task.token_values(split)]
        kept = [row for row, mark in enumerate(marks) if mark.any()]
        sequences = self.task.sequences(split)
        return [sequences[row] for row in kept], [marks[row] for row in kept]

    def _in_rows(self, sequences: list[str], marks: list[np.ndarray], split: str) -> Inputs:
        """Whole sequences, and which of their positions are asked for."""
        lengths, marked = np.array([len(mark) for mark in marks]), np.concatenate(marks)
        if self.reads == "sequences":
            return Inputs(sequences=tuple(sequences), lengths=lengths, marked=marked)
        rows = self._tokens(sequences, width=self.task.width)
        for row, length in zip(rows, lengths.tolist()):
            self._check_positions(len(row), length)
        return Inputs(x=_stacked(rows, split), lengths=lengths, marked=marked)

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
        sequences, targets = self.task.sequences(split), self.task.token_values(split)
        for start in range(0, len(sequences), _ROWS):
            some = slice(start, start + _ROWS)
            rows = self._tokens(sequences[some], width=self.task.width)
            for row, y in zip(rows, targets[some]):
                self._check_positions(len(row), len(y))
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

    def _check_positions(self, found: int, targets: int) -> None:
        if found != targets:
            raise DataError(
                f"{found} positions of a sequence with {targets} targets", where=self.embedder.name
            )

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


def _with_targets(inputs: Inputs, y: np.ndarray, classes: int) -> Part:
    return Part(**{f.name: getattr(inputs, f.name) for f in fields(inputs)}, y=y, classes=classes)


def _stacked(rows: Sequence[np.ndarray], split: str) -> np.ndarray:
    """Token matrices one after the other, if they fit into memory."""
    size = sum(len(row) for row in rows) * rows[0].shape[1] * 4
    if size > MOST_BYTES:
        hint = "take a probe on vectors, or fewer rows"
        raise DataError(f"token vectors of the {split} rows need {size / 2**30:.0f} GiB of memory", hint=hint)
    return np.concatenate(rows)
