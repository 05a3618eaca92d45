"""Token windows: long sequences are cut into consecutive windows and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from biodata.errors import ConfigError


class Frame(NamedTuple):
    """What a tokenizer puts around a sequence."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    @property
    def size(self) -> int:
        """Special tokens of a window."""
        return len(self.prefix) + len(self.suffix)


class Window(NamedTuple):
    """A piece of a sequence as a model sees it.

    Attributes:
        owner: index of the sequence.
        order: 0 for the first window of its owner.
        ids: with specials.
        start: first position that is no special.
        end: position after the last that is no special.
    """

    owner: int
    order: int
    ids: tuple[int, ...]
    start: int
    end: int


def cut(contents: Sequence[Sequence[int]], frame: Frame, limit: int | None) -> list[Window]:
    """Windows of all sequences: equal parts that differ by one token at most, none longer than `limit`.

    Args:
        contents: token ids of the sequences without specials, none empty.
        frame: specials, put around each window.
        limit: tokens of a window, specials included; `None` for no limit.

    >>> [w.ids for w in cut([[7, 8, 9]], Frame((1,), (2,)), 4)]
    [(1, 7, 8, 2), (1, 9, 2)]
    """
    room = None if limit is None else limit - frame.size
    if room is not None and room < 1:
        raise ConfigError(f"windows of {limit} tokens leave no room beside {frame.size} special tokens")
    windows = []
    for owner, content in enumerate(contents):
        n = 1 if room is None else -(-len(content) // room)
        for order, part in enumerate(np.array_split(np.asarray(content), n)):
            ids = (*frame.prefix, *part.tolist(), *frame.suffix)
            start = len(frame.prefix)
            windows.append(Window(owner, order, ids, start, start + len(part)))
    return windows


def batches(windows: Sequence[Window], size: int) -> Iterator[list[Window]]:
    """Batches of windows of like length, longest first, so that memory runs out at once or never."""
    ordered = sorted(windows, key=lambda w: (-len(w.ids), w.owner, w.order))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def padded(batch: Sequence[Window], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask (1 for real tokens) `[b, t]` of a batch, padded on the right."""
    width = max(len(w.ids) for w in batch)
    ids = np.full((len(batch), width), pad, dtype=np.int64)
    mask = np.zeros((len(batch), width), dtype=np.int64)
    for row, window in enumerate(batch):
        ids[row, : len(window.ids)] = window.ids
        mask[row, : len(window.ids)] = 1
    return ids, mask


class Pool:
    """Collects the hidden states of windows into one vector for each sequence.

    Args:
        n: sequences.
        how: `mean` or `max` over all tokens of all windows, specials excluded; `last`: the last such token;
            `cls`: the first token of the first window (for encoders that were trained with it).
    """

    def __init__(self, n: int, how: str) -> None:
        self.how = how
        self.n = n
        self._values: np.ndarray | None = None
        self._counts = np.zeros(n, dtype=np.int64)
        self._last = np.full(n, -1, dtype=np.int64)

    def add(self, window: Window, states: np.ndarray) -> None:
        """Adds a window; `states` is float `[t, d]`, padding allowed on the right."""
        if self._values is None:
            start = -np.inf if self.how == "max" else 0.0
            self._values = np.full((self.n, states.shape[1]), start, dtype=np.float64)
        real = states[window.start : window.end]
        row = self._values[window.owner]
        if self.how == "mean":
            row += real.sum(axis=0, dtype=np.float64)
            self._counts[window.owner] += len(real)
        elif self.how == "max":
            np.maximum(row, real.max(axis=0), out=row)
        elif self.how == "last" and window.order > self._last[window.owner]:
            row[:] = real[-1]
            self._last[window.owner] = window.order
        elif self.how == "cls" and window.order == 0:
            row[:] = states[0]

    def result(self) -> np.ndarray:
        """float32 `[n, d]`."""
        if self._values is None:
            return np.zeros((0, 0), dtype=np.float32)
        if self.how == "mean":
            return (self._values / self._counts[:, None]).astype(np.float32)
        return self._values.astype(np.float32)


class TokenPool:
    """Collects the hidden states of windows into one row for each token of a sequence, specials left out.

    Args:
        n: sequences.
    """

    def __init__(self, n: int) -> None:
        self._parts: list[dict[int, np.ndarray]] = [{} for _ in range(n)]

    def add(self, window: Window, states: np.ndarray) -> None:
        """Adds a window; `states` is float `[t, d]`, padding allowed on the right."""
        self._parts[window.owner][window.order] = states[window.start : window.end].astype(np.float32)

    def result(self) -> list[np.ndarray]:
        """float32 `[tokens, d]` of each sequence."""
        return [np.concatenate([parts[order] for order in sorted(parts)]) for parts in self._parts]
