"""Features made of words: k-mers, codons, residues, tokens of SELFIES. No model, nothing learned.

Letters are DNA letters inside (U counts as T); a window that holds any other letter, or a rest of less than
a codon, is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from biodata.files import fingerprint

Letters = str | tuple[str, ...]
"""Single letters, or tokens of SELFIES."""
_TOKEN = re.compile(r"\[[^\[\]\s]+\]|\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyEmbedder:
    """Relative frequencies of k-mers, one block for each size, then log(1 + length).

    Attributes:
        letters: alphabet.
        sizes: the k.
        step: letters between the starts of windows; 3 with k = 3 reads frame 0.

    >>> v = FrequencyEmbedder(name="x", letters="ACGT", sizes=(1,), step=1).embed(["AACU"])[0]
    >>> v[:4].tolist()
    [0.5, 0.25, 0.0, 0.25]
    """

    name: str
    letters: Letters
    sizes: tuple[int, ...]
    step: int

    @property
    def key(self) -> str:
        """Depends on the settings alone."""
        return fingerprint(["frequency", 1, self.letters, self.sizes, self.step])

    @property
    def settings(self) -> dict[str, object]:
        """For the result file."""
        return {"k": list(self.sizes), "step": self.step, "log_length": True}

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, sum(letters**k) + 1]`."""
        return np.stack([self._row(codes) for codes in codes_of(sequences, self.letters)])

    def _row(self, codes: np.ndarray) -> np.ndarray:
        blocks = []
        for k in self.sizes:
            words, _ = words_at(codes, len(self.letters), k, self.step)
            counts = np.bincount(words, minlength=len(self.letters) ** k)
            blocks.append(counts / max(1, len(words)))
        return np.concatenate([*blocks, [np.log1p(len(codes))]]).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneHotEmbedder:
    """One column for every position and word.

    Attributes:
        letters: alphabet.
        width: letters of a word, 3 for codons.
        positions: words taken from the start of a sequence.
        longest: words of the longest train sequence, to tell what `positions` cuts off.
        reach: words on both sides that the vector of a single position also holds.

    >>> OneHotEmbedder(letters="ACGT", width=1, positions=2, longest=2).embed(["CUA"])[0].tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    """

    letters: Letters
    width: int
    positions: int
    longest: int
    reach: int = 0
    name: str = "one-hot"

    @property
    def key(self) -> str:
        """Depends on the settings alone."""
        return fingerprint(["one-hot", 1, self.letters, self.width, self.positions, self.reach])

    @property
    def settings(self) -> dict[str, object]:
        """For the result file."""
        return {"word": self.width, "positions": self.positions, "longest_train": self.longest,
                "reach": self.reach}  # fmt: skip

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, positions * letters**width]`, zeros and ones."""
        words_of = len(self.letters) ** self.width
        out = np.zeros((len(sequences), self.positions * words_of), dtype=np.float32)
        for row, codes in zip(out, codes_of(sequences, self.letters)):
            words, at = words_at(codes, len(self.letters), self.width, self.width)
            inside = at < self.positions
            row[at[inside] * words_of + words[inside]] = 1
        return out

    def embed_tokens(self, sequences: Sequence[str], *, width: int) -> list[np.ndarray]:
        """float32 `[units, (2 * reach + 1) * letters**width]` of each: a unit and its neighbours.

        `width` is not needed: units are the embedder's own words. A rest of less than a word is a unit of
        zeros.
        """
        return [self._windows(codes) for codes in codes_of(sequences, self.letters)]

    def _windows(self, codes: np.ndarray) -> np.ndarray:
        units, words_of = -(-len(codes) // self.width), len(self.letters) ** self.width
        plain = np.zeros((units + 2 * self.reach, words_of), dtype=np.float32)
        words, at = words_at(codes, len(self.letters), self.width, self.width)
        plain[at + self.reach, words] = 1
        windows = np.lib.stride_tricks.sliding_window_view(plain, 2 * self.reach + 1, axis=0)
        return windows.transpose(0, 2, 1).reshape(units, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearbyEmbedder:
    """For single positions: which words stand within `reach`, wherever exactly; and the place in the row.

    Attributes:
        letters: alphabet.
        width: letters of a word.
        reach: words on both sides.
    """

    letters: Letters
    width: int
    reach: int
    name: str = "kmer"

    @property
    def key(self) -> str:
        """Depends on the settings alone."""
        return fingerprint(["nearby", 1, self.letters, self.width, self.reach])

    @property
    def settings(self) -> dict[str, object]:
        """For the result file."""
        return {"word": self.width, "reach": self.reach}

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """The mean over the positions, float32 `[n, letters**width + 1]`."""
        return np.stack([rows.mean(0) for rows in self.embed_tokens(sequences, width=self.width)])

    def embed_tokens(self, sequences: Sequence[str], *, width: int) -> list[np.ndarray]:
        """float32 `[units, letters**width + 1]` of each; `width` is not needed."""
        return [self._rows(codes) for codes in codes_of(sequences, self.letters)]

    def _rows(self, codes: np.ndarray) -> np.ndarray:
        units, words_of = -(-len(codes) // self.width), len(self.letters) ** self.width
        counts = np.zeros((units + 1, words_of), dtype=np.float32)
        words, at = words_at(codes, len(self.letters), self.width, self.width)
        counts[at + 1, words] = 1
        counts = np.cumsum(counts, axis=0)
        place = np.arange(units)
        last, first = np.minimum(place + self.reach + 1, units), np.maximum(place - self.reach, 0)
        near = (counts[last] - counts[first]) / (last - first)[:, None]
        return np.column_stack([near, place / max(1, units)]).astype(np.float32)


def codes_of(sequences: Sequence[str], letters: Letters) -> Iterable[np.ndarray]:
    """The number of each letter (or token), -1 for others."""
    if isinstance(letters, tuple):
        index = {token: number for number, token in enumerate(letters)}
        return (np.array([index.get(t, -1) for t in _TOKEN.findall(s)], np.int64) for s in sequences)
    table = np.full(256, -1, dtype=np.int64)
    table[np.frombuffer(letters.encode(), dtype=np.uint8)] = np.arange(len(letters))
    if letters == "ACGT":
        table[ord("U")] = 3
    return (table[np.frombuffer(s.encode("latin-1", "replace"), dtype=np.uint8)] for s in sequences)


def symbols_of(sequence: str) -> list[str]:
    """The tokens of SELFIES in their order."""
    return _TOKEN.findall(sequence)


def tokens_in(sequences: Iterable[str]) -> tuple[str, ...]:
    """The tokens of SELFIES that occur, sorted.

    >>> tokens_in(["[C][=O]", "[C]"])
    ('[=O]', '[C]')
    """
    return tuple(sorted({token for s in sequences for token in _TOKEN.findall(s)}))


def words_at(codes: np.ndarray, base: int, k: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Words without unknown letters and the number of the window that each stands in.

    Args:
        codes: letters as numbers, below 0 for unknown ones.
        base: how many letters there are.
        k: length of a word.
        step: from one window to the next.
    """
    if len(codes) < k:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, k)[::step]
    known = (windows >= 0).all(axis=1)
    return (windows @ base ** np.arange(k - 1, -1, -1))[known], np.flatnonzero(known)
