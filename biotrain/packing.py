"""Several short sequences in one row, so that little of what a model computes is padding. Imports no torch.

Shapes: D windows of a batch, T tokens of the longest, B packed rows, C tokens of the fullest.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biotrain.loader import Rows, Samples

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSamples:
    """Windows put together into rows; a batch is made of rows, as one of `Samples` is of windows.

    Attributes:
        source: the windows.
        order: their numbers, row after row.
        bounds: where each row begins in `order`, and the end of the last.
    """

    source: Samples
    order: Ints
    bounds: Ints

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def length(self) -> Ints:
        """Tokens of each row, padding not counted."""
        return np.add.reduceat(self.source.length[self.order], self.bounds[:-1])

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, padding not counted."""
        return self.source.tokens

    @property
    def windows(self) -> int:
        """Windows of one epoch."""
        return len(self.source)

    @property
    def sequences(self) -> int:
        """Rows of the split."""
        return self.source.sequences

    @property
    def cut(self) -> int:
        """Rows of the split that were longer than the context."""
        return self.source.cut

    @property
    def unknown(self) -> float:
        """Share of `<unk>` among all tokens."""
        return self.source.unknown

    def rows(self, index: Ints) -> Rows:
        """The windows of the rows `index`, each padded on its own, and how many each row has."""
        counts = self.bounds[index + 1] - self.bounds[index]
        before = np.cumsum(counts) - counts
        members = np.repeat(self.bounds[index] - before, counts) + np.arange(counts.sum())
        return self.source.rows(self.order[members])._replace(counts=counts)


def pack(samples: Samples, *, context: int, room: int = 0, seed: int = 0) -> PackedSamples:
    """Packs windows into few rows by best-fit decreasing: the longest window first, each into the fullest
    row where it fits (arXiv:2107.02027 compares such ways). Which of equally long windows meet is drawn.

    Args:
        samples: windows of at most `context - room` tokens.
        context: most tokens of a row.
        room: tokens to leave free for each window.
        seed: of the draw. The rows are the same in every epoch; their order is not.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0])))
    shuffled = random.permutation(len(samples))
    longest_first = shuffled[np.argsort(-samples.length[shuffled], kind="stable")]
    row = _best_fit(samples.length[longest_first] + room, context)
    together = np.argsort(row, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(row))))
    return PackedSamples(source=samples, order=longest_first[together], bounds=bounds)


def places(lengths: Ints, counts: Ints, *, width: int) -> tuple[Ints, Ints]:
    """Where the tokens of packed rows stand in their padded windows.

    Args:
        lengths: [D] tokens of each window, row after row.
        counts: [B] windows of each row.
        width: T.

    Returns:
        [B, C] place in the flattened [D, T], -1 where no token is; and [B, C] number of the window in its
        row, from 0, one more for the padding.

    >>> [x.tolist() for x in places(np.array([2, 1, 3]), np.array([2, 1]), width=4)]
    [[[0, 1, 4], [8, 9, 10]], [[0, 0, 1], [0, 0, 0]]]
    """
    row = np.repeat(np.arange(len(counts)), counts)
    sizes = np.bincount(row, weights=lengths, minlength=len(counts)).astype(np.int64)
    where = np.full((len(counts), int(sizes.max(initial=1))), -1, np.int64)
    number = np.repeat(counts[:, None], where.shape[1], 1)
    window, inside = _ragged(lengths)
    in_row = _ragged(sizes)[1]
    where[row[window], in_row] = window * width + inside
    number[row[window], in_row] = window - (np.cumsum(counts) - counts)[row[window]]
    return where, number


def _ragged(lengths: Ints) -> tuple[Ints, Ints]:
    """For `lengths` things laid end to end: the number of each and the place within it."""
    number = np.repeat(np.arange(len(lengths)), lengths)
    return number, np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _best_fit(lengths: Ints, context: int) -> Ints:
    """The row of each document, for lengths that do not rise.

    Equal lengths go together: work grows with the number of different lengths and rests, not of documents.
    """
    row, rows, done = np.empty(len(lengths), np.int64), 0, 0
    open_rows: dict[int, Ints] = {}  # by the tokens that still fit
    rests: list[int] = []  # the keys that have rows, sorted
    sizes, counts = np.unique(lengths, return_counts=True)
    for size, count in zip(sizes[::-1].tolist(), counts[::-1].tolist()):
        end = done + count
        while done < end:
            at = bisect_left(rests, size)
            if at == len(rests):  # no row has room: new ones
                fresh = -(-(end - done) // (context // size))
                chosen = np.arange(rows, rows + fresh)
                rows, rest = rows + fresh, context
            else:
                rest = rests.pop(at)
                chosen = open_rows.pop(rest)
                if len(chosen) > end - done:
                    open_rows[rest] = chosen[end - done :]
                    rests.insert(at, rest)
                    chosen = chosen[: end - done]
            row[done : done + len(chosen)] = chosen
            done += len(chosen)
            left = rest - size
            if left not in open_rows:
                insort(rests, left)
            open_rows[left] = np.concatenate((open_rows.get(left, chosen[:0]), chosen))
    return row
