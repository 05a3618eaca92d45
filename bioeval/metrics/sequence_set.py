"""Sequences as one buffer of small codes: what all sequence metrics work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from biodata.alphabet import reverse_complement
from biodata.errors import DataError

NUCLEOTIDES = "ACGT"
RESIDUES = "ACDEFGHIKLMNOPQRSTUVWY"
"""The 20 amino acids, pyrrolysine (O) and selenocysteine (U)."""

CHARACTERS = "".join(map(chr, range(33, 127)))
"""Every character that SMILES may have, each a letter of its own; case counts."""

_ALSO = {NUCLEOTIDES: ("URYSWKMBDHVN-.*", "N"), RESIDUES: ("BJXZ*-.", "X"), CHARACTERS: ("", "?")}
"""Letters that are allowed and stand for no single one, and the letter that they are spelt with."""

_SAYS = {
    NUCLEOTIDES: ("nucleotide letter", "DNA or RNA is wanted: A, C, G, T, U and IUPAC codes; of "
                  "`eval sequences` alphabet = protein or smiles takes others"),
    RESIDUES: ("residue", "one-letter amino acids are wanted"),
    CHARACTERS: ("character of SMILES", "printable ASCII without blanks is wanted"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Coding:
    """How the letters of an alphabet become codes: bytes that are allowed, their codes, and back."""

    allowed: bytes
    table: bytes
    spelling: np.ndarray


@lru_cache
def _coding(letters: str) -> _Coding:
    codes = np.full(256, len(letters), dtype=np.uint8)
    also, other = _ALSO[letters]
    allowed = letters + also
    for code, letter in enumerate(letters):
        codes[ord(letter)] = code
    if letters != CHARACTERS:
        for code, letter in enumerate(letters):
            codes[ord(letter.lower())] = code
        allowed += allowed.lower()
    if letters == NUCLEOTIDES:
        codes[[ord("U"), ord("u")]] = codes[ord("T")]
    spelling = np.frombuffer((letters + other).encode(), dtype=np.uint8)
    return _Coding((allowed + "\n").encode(), codes.tobytes(), spelling)


def code_table(letters: str) -> tuple[bytes, int]:
    """Byte to code for `bytes.translate`, and the code of bytes that the alphabet does not allow.

    >>> table, wrong = code_table(NUCLEOTIDES)
    >>> list(b"ATn!".translate(table)) == [0, 3, 4, wrong]
    True
    """
    coding = _coding(letters)
    wrong = len(letters) + 1
    codes = np.full(256, wrong, dtype=np.uint8)
    allowed = np.frombuffer(coding.allowed, dtype=np.uint8)
    codes[allowed] = np.frombuffer(coding.table, dtype=np.uint8)[allowed]
    return codes.tobytes(), wrong


@dataclass(frozen=True, slots=True, eq=False)
class SequenceSet:
    """A set of sequences, columnar.

    Nucleotides and residues: lower case counts as upper case and U of RNA as T; every letter that stands for
    no single one (N, X, IUPAC codes, gaps) is `other`, which no window and no codon may hold.

    Attributes:
        ids: one a sequence.
        codes: uint8, place of the letter in `letters` (A 0, C 1, G 2, T 3), else `other`; one `other` after
            each sequence, so that no window crosses.
        starts: int64 [n], first position of each sequence in `codes`.
        lengths: int64 [n], letters of each.
        letters: the alphabet: `NUCLEOTIDES`, `RESIDUES` or `CHARACTERS`.

    >>> s = SequenceSet.from_strings(["ACGU", "nt"])
    >>> s.codes.tolist(), s.starts.tolist(), s.lengths.tolist(), s.sequence(1)
    ([0, 1, 2, 3, 4, 4, 3, 4], [0, 5], [4, 2], 'NT')
    """

    ids: tuple[str, ...]
    codes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    letters: str = NUCLEOTIDES

    @classmethod
    def from_strings(
        cls, sequences: Sequence[str], ids: Sequence[str] | None = None, *,
        letters: str = NUCLEOTIDES, where: object = "sequences",
    ) -> SequenceSet:  # fmt: skip
        """Builds a set from text.

        Args:
            sequences: DNA or RNA, IUPAC letters in either case, or text of another alphabet.
            ids: one for each; by default their numbers from 1.
            letters: see the class.
            where: file they came from, for messages.

        Raises:
            DataError: a sequence with a letter that the alphabet does not have.
        """
        coding = _coding(letters)
        ids = tuple(ids) if ids is not None else tuple(str(i + 1) for i in range(len(sequences)))
        try:
            data = "".join(f"{s}\n" for s in sequences).encode("ascii")
        except UnicodeEncodeError as error:
            raise DataError(f"{error.object[error.start]!r} is no {_SAYS[letters][0]}", where=where) from None
        if wrong := data.translate(None, coding.allowed):
            raise DataError(
                _offender(sequences, ids, chr(wrong[0]), letters), where=where, hint=_SAYS[letters][1]
            )
        codes = np.frombuffer(data.translate(coding.table), dtype=np.uint8)
        lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64)[: len(sequences)]
        return cls(ids, codes, starts, lengths, letters)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def other(self) -> int:
        """The code of what is no letter; also the number of letters."""
        return len(self.letters)

    def row_codes(self, row: int) -> np.ndarray:
        """The codes of one sequence, a view."""
        start = self.starts[row]
        return self.codes[start : start + self.lengths[row]]

    def sequence(self, row: int) -> str:
        """One sequence as text: of nucleotides upper-case A, C, G, T and N."""
        return self.spelt(row).decode()

    def spelt(self, row: int) -> bytes:
        """As `sequence`, in bytes."""
        return _coding(self.letters).spelling[self.row_codes(row)].tobytes()

    def strings(self) -> list[str]:
        """All sequences as text."""
        return [self.sequence(row) for row in range(len(self))]

    def blocks(self, letters: int) -> Iterator[tuple[slice, SequenceSet]]:
        """Consecutive sequences at a time, and the rows they are: views, for work whose memory must not grow.

        Args:
            letters: of a block; a longer sequence is a block of its own.

        >>> [rows for rows, _ in SequenceSet.from_strings(["AC", "G", "ACGT", "A"]).blocks(3)]
        [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
        """
        ends, start = np.cumsum(self.lengths), 0
        while start < len(self):
            before = ends[start] - self.lengths[start]
            stop = max(int(np.searchsorted(ends, before + letters, side="right")), start + 1)
            begin, end = self.starts[start], self.starts[stop - 1] + self.lengths[stop - 1] + 1
            yield slice(start, stop), SequenceSet(
                self.ids[start:stop], self.codes[begin:end], self.starts[start:stop] - begin,
                self.lengths[start:stop], self.letters,
            )  # fmt: skip
            start = stop

    def pieces(self, letters: int, *, overlap: int = 0) -> Iterator[tuple[slice, SequenceSet, int]]:
        """As `blocks`, with sequences longer than a block cut: for counts that add up over the pieces of one.

        Args:
            letters: of a block or piece.
            overlap: letters after a piece that are shown with it, for what reaches beyond its end.

        Yields:
            The rows, their letters, and how many of the codes are the piece's own.

        >>> s = SequenceSet.from_strings(["AC", "ACGTACG"])
        >>> [(rows.start, block.strings(), own) for rows, block, own in s.pieces(3, overlap=1)]
        [(0, ['AC'], 3), (1, ['ACGT'], 3), (1, ['TACG'], 3), (1, ['G'], 2)]
        """
        for rows, block in self.blocks(letters):
            if rows.stop - rows.start > 1 or block.lengths[0] <= letters:
                yield rows, block, len(block.codes)
                continue
            whole = block.row_codes(0)
            for start in range(0, len(whole), letters):
                shown = whole[start : start + letters + overlap]
                codes = np.append(shown, np.uint8(self.other))
                own = letters if start + letters < len(whole) else len(codes)
                length = np.array([len(shown)], dtype=np.int64)
                yield rows, SequenceSet(block.ids, codes, block.starts, length, self.letters), own

    def take(self, rows: np.ndarray) -> SequenceSet:
        """The set of some rows, in the order given."""
        chosen = [self.sequence(int(row)) for row in rows]
        return SequenceSet.from_strings(chosen, [self.ids[int(row)] for row in rows], letters=self.letters)

    def after(self, letters: int) -> SequenceSet:
        """Every sequence without its first letters; itself for 0.

        >>> SequenceSet.from_strings(["ACGT", "A"]).after(2).strings()
        ['GT', '']
        """
        if not letters:
            return self
        return SequenceSet.from_strings([s[letters:] for s in self.strings()], self.ids, letters=self.letters)

    def reverse_complement(self) -> SequenceSet:
        """The other strand of every sequence of nucleotides."""
        return SequenceSet.from_strings([reverse_complement(s) for s in self.strings()], self.ids)

    def shuffled(self, seed: int) -> SequenceSet:
        """Every sequence with its letters in random order: composition and length stay, the rest goes."""
        rng = np.random.default_rng(seed)
        codes = self.codes.copy()
        for start, length in zip(self.starts.tolist(), self.lengths.tolist()):
            rng.shuffle(codes[start : start + length])
        return SequenceSet(self.ids, codes, self.starts, self.lengths, self.letters)

    def rows_of_positions(self) -> np.ndarray:
        """int64 [len(codes)]: the sequence that each position (separators included) belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths + 1)


def _offender(sequences: Sequence[str], ids: Sequence[str], letter: str, letters: str) -> str:
    for name, sequence in zip(ids, sequences):
        if letter in sequence:
            return f"record {name!r} has {letter!r}, which is no {_SAYS[letters][0]}"
    raise AssertionError(f"{letter!r} came from none of the sequences")
