"""Batches of token ids: encoded once, cut to windows, ordered by (seed, epoch) alone. Imports no torch.

Shapes: B rows, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from biodata.errors import DataError
from biodata.token_cache import Tokens
from biodata.tokenizers.special import PAD

POOL = 64
"""Batches that are sorted by length together: enough to leave little padding, few enough to stay random."""

Ints = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """A batch.

    Attributes:
        ids: [B, T] int64, `<pad>` on the right.
        mask: [B, T], True at real tokens.
        counts: how many of the B lie in each row that the model reads, one after the other
            (`biotrain.packing`); `None` = one.
        labels: [B] classes of the rows; `None` = they have none.
    """

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.int64] | None = None
    labels: npt.NDArray[np.int64] | None = None


class Sampled(Protocol):
    """A split cut into what batches are made of: windows, or rows packed of them."""

    @property
    def length(self) -> Ints:
        """Tokens of each."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, padding not counted."""
        ...

    @property
    def windows(self) -> int:
        """Windows of one epoch."""
        ...

    @property
    def sequences(self) -> int:
        """Rows of the split."""
        ...

    @property
    def cut(self) -> int:
        """Rows of the split that were longer than the context."""
        ...

    @property
    def unknown(self) -> float:
        """Share of `<unk>` among all tokens."""
        ...

    def __len__(self) -> int: ...

    def rows(self, index: Ints) -> Rows:
        """Some of them as a batch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A split as one flat array of token ids and the windows a model reads.

    Attributes:
        ids: all tokens back to back, each sequence `<bos> ... <eos>`.
        start: first token of each window.
        length: tokens of each window, 1 to the context.
        sequences: rows of the split.
        cut: rows that were longer than the context and so became several windows.
        unknown: share of `<unk>` among all tokens.
        labels: class of each window; `None` = they have none.
    """

    ids: npt.NDArray[np.unsignedinteger]
    start: Ints
    length: Ints
    sequences: int
    cut: int
    unknown: float
    labels: Ints | None = None

    def __len__(self) -> int:
        return len(self.start)

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, padding not counted."""
        return int(self.length.sum())

    @property
    def windows(self) -> int:
        """As many as samples."""
        return len(self)

    def rows(self, index: Ints) -> Rows:
        """The windows `index` as one padded batch."""
        length = self.length[index]
        place = np.arange(length.max(initial=0))
        mask = place < length[:, None]
        where = np.minimum(self.start[index, None] + place, len(self.ids) - 1)
        labels = None if self.labels is None else self.labels[index]
        return Rows(np.where(mask, self.ids[where], PAD).astype(np.int64), mask, labels=labels)


def cut_windows(
    tokens: Tokens, *, kind: str, context: int, overlap: int = 0, where: str = "split"
) -> Samples:
    """Cuts the sequences of a split that are too long into windows; no token is dropped or copied.

    Args:
        tokens: the split, each sequence `<bos> ... <eos>`.
        kind: of the tokenizer, for messages.
        context: most tokens of a window, 2 or more.
        overlap: tokens that a window repeats of the one before: 1 for a causal model, so that the first
            token of every window but a sequence's first is predicted too, and just once.
        where: the split's name, for messages.

    Raises:
        DataError: no rows, or none with a token between `<bos>` and `<eos>`.
    """
    if tokens.rows == 0:
        raise DataError("no sequences", where=where, hint="is the dataset large enough for three splits?")
    encoded = tokens.encoded
    length = np.diff(encoded.offsets)
    if length.max() <= 2:
        raise DataError(
            f"all {tokens.rows} sequences are too short: none has a token besides <bos> and <eos>",
            where=where,
            hint=f"is a {kind!r} tokenizer right for them?",
        )
    start, size = _windows(encoded.offsets, context=context, overlap=overlap)
    return Samples(
        ids=encoded.ids,
        start=start,
        length=size,
        sequences=tokens.rows,
        cut=int((length > context).sum()),
        unknown=tokens.unknown_rate,
    )


def epoch_batches(samples: Sampled, *, size: int, seed: int, epoch: int) -> list[Ints]:
    """The batches of an epoch, as window numbers: a function of these arguments and nothing else.

    Windows are shuffled, sorted by length within pools of `POOL` batches, cut into batches of `size` (the
    last may be smaller), and the batches shuffled. Every window comes once.

    Args:
        samples: the windows of a split.
        size: windows of a batch, at least 1.
        seed: of the shuffling.
        epoch: 0-based; each has another order.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    order = random.permutation(len(samples))
    batches: list[Ints] = []
    for begin in range(0, len(order), size * POOL):
        pool = order[begin : begin + size * POOL]
        pool = pool[np.argsort(-samples.length[pool], kind="stable")]
        batches += np.split(pool, range(size, len(pool), size))
    return [batches[i] for i in random.permutation(len(batches))]


def batches_from(
    samples: Sampled, *, size: int, seed: int, epoch: int, batch: int
) -> Iterator[tuple[int, int, Rows]]:
    """Batches without end from a position: `(epoch, batch, rows)`, 0-based.

    Args:
        samples: the windows of a split.
        size: windows of a batch, at least 1.
        seed: of the shuffling.
        epoch: the first, 0-based.
        batch: the first of that epoch, 0-based.
    """
    while True:
        order = epoch_batches(samples, size=size, seed=seed, epoch=epoch)
        for number in range(batch, len(order)):
            yield epoch, number, samples.rows(order[number])
        epoch, batch = epoch + 1, 0


def fixed_batches(samples: Sampled, *, size: int, count: int, seed: int) -> Iterator[Rows]:
    """The same batches at every call, for validation: the first `count` of a shuffled epoch; 0 = all.

    Args:
        samples: the windows of a split.
        size: windows of a batch, at least 1.
        count: batches, 0 for all.
        seed: of the choice.
    """
    order = epoch_batches(samples, size=size, seed=seed, epoch=0)
    for index in order[: count or None]:
        yield samples.rows(index)


def _windows(offsets: Ints, *, context: int, overlap: int) -> tuple[Ints, Ints]:
    """Start and length of every window, sequence by sequence.

    A sequence of n tokens gives max(1, ceil((n - overlap) / (context - overlap))) windows.
    """
    begin, length = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    stride = context - overlap
    count = np.maximum(1, -(-(length - overlap) // stride))
    owner = np.repeat(np.arange(len(length)), count)
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    start = number * stride
    size = np.minimum(context, length[owner] - start)
    return begin[owner] + start, size
