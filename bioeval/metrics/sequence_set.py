"""Nucleotide sequences as one buffer of small codes: what all sequence metrics work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biodata.alphabet import reverse_complement
from biodata.chaos_game import OTHER
from biodata.errors import DataError

_IUPAC = b"ACGTURYSWKMBDHVNacgturyswkmbdhvn-.*\n"
_CODES = np.full(256, OTHER, dtype=np.uint8)
for _letters, _code in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3)):
    for _letter in _letters:
        _CODES[ord(_letter)] = _code
_TABLE = _CODES.tobytes()
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceSet:
    """A set of nucleotide sequences, columnar.

    Lower case counts as upper case and U as T; every other letter (N, IUPAC codes, gaps) is `OTHER`, which no
    k-mer window and no codon may hold.

    Attributes:
        ids: one a sequence.
        codes: uint8, A 0, C 1, G 2, T 3, else 4; one `OTHER` after each sequence, so that no window crosses.
        starts: int64 [n], first position of each sequence in `codes`.
        lengths: int64 [n], letters of each.

    >>> s = SequenceSet.from_strings(["ACGU", "nt"])
    >>> s.codes.tolist(), s.starts.tolist(), s.lengths.tolist(), s.sequence(1)
    ([0, 1, 2, 3, 4, 4, 3, 4], [0, 5], [4, 2], 'NT')
    """

    ids: tuple[str, ...]
    codes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def from_strings(
        cls, sequences: Sequence[str], ids: Sequence[str] | None = None, *, where: object = "sequences"
    ) -> SequenceSet:
        """Builds a set from text.

        Args:
            sequences: DNA or RNA, IUPAC letters in either case.
            ids: one for each; by default their numbers from 1.
            where: file they came from, for messages.

        Raises:
            DataError: a sequence with a letter that no IUPAC nucleotide alphabet has.
        """
        ids = tuple(ids) if ids is not None else tuple(str(i + 1) for i in range(len(sequences)))
        try:
            data = "".join(f"{s}\n" for s in sequences).encode("ascii")
        except UnicodeEncodeError as error:
            raise DataError(f"{error.object[error.start]!r} is no nucleotide letter", where=where) from None
        if wrong := data.translate(None, _IUPAC):
            raise DataError(*_offender(sequences, ids, chr(wrong[0])), where=where, hint=_HINT)
        codes = np.frombuffer(data.translate(_TABLE), dtype=np.uint8)
        lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64)[: len(sequences)]
        return cls(ids, codes, starts, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def row_codes(self, row: int) -> np.ndarray:
        """The codes of one sequence, a view."""
        start = self.starts[row]
        return self.codes[start : start + self.lengths[row]]

    def sequence(self, row: int) -> str:
        """One sequence as upper-case text of A, C, G, T and N."""
        return _LETTERS[self.row_codes(row)].tobytes().decode()

    def strings(self) -> list[str]:
        """All sequences as text."""
        return [self.sequence(row) for row in range(len(self))]

    def take(self, rows: np.ndarray) -> SequenceSet:
        """The set of some rows, in the order given."""
        chosen = [self.sequence(int(row)) for row in rows]
        return SequenceSet.from_strings(chosen, [self.ids[int(row)] for row in rows])

    def reverse_complement(self) -> SequenceSet:
        """The other strand of every sequence."""
        return SequenceSet.from_strings([reverse_complement(s) for s in self.strings()], self.ids)

    def shuffled(self, seed: int) -> SequenceSet:
        """Every sequence with its letters in random order: composition and length stay, the rest goes."""
        rng = np.random.default_rng(seed)
        codes = self.codes.copy()
        for start, length in zip(self.starts.tolist(), self.lengths.tolist()):
            rng.shuffle(codes[start : start + length])
        return SequenceSet(self.ids, codes, self.starts, self.lengths)

    def rows_of_positions(self) -> np.ndarray:
        """int64 [len(codes)]: the sequence that each position (separators included) belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths + 1)


_HINT = "sequence metrics take DNA or RNA: A, C, G, T, U and IUPAC codes"


def _offender(sequences: Sequence[str], ids: Sequence[str], letter: str) -> tuple[str]:
    for name, sequence in zip(ids, sequences):
        if letter in sequence:
            return (f"record {name!r} has {letter!r}, which is no nucleotide letter",)
    raise AssertionError(f"{letter!r} came from none of the sequences")
