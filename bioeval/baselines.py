"""Baselines that need no model: what a score must beat before it means anything.

Each is an `Embedder` made for a task, so that it meets the same probe, the same selection and the same test
rows as a model. Letters are DNA letters inside (U counts as T); a window that holds any other letter, or a
rest of less than a codon, is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from biodata.catalog import Catalog
from biodata.files import fingerprint
from bioeval.tasks.task import Task

BASELINES = Catalog(
    "baseline",
    {
        "codon-freq": "bioeval.baselines:codon_freq",
        "kmer": "bioeval.baselines:kmer",
        "one-hot": "bioeval.baselines:one_hot",
    },
)

_CELLS = 1 << 26  # float32 features of all rows of a one-hot baseline: at most 256 MiB
_AMINO = "ACDEFGHIKLMNPQRSTVWYUO"


def baselines_for(task: Task) -> tuple[str, ...]:
    """Names of the baselines that make sense for a task: codons only where there are nucleotides."""
    return ("kmer", "one-hot") if task.alphabet == "protein" else tuple(BASELINES)


def codon_freq(task: Task) -> FrequencyEmbedder:
    """64 triplet frequencies in frame 0 and the logarithm of the length.

    For a sequence that is no CDS these are just its 3-mers at every third letter.
    """
    return FrequencyEmbedder(name="codon-freq", letters="ACGT", sizes=(3,), step=3)


def kmer(task: Task) -> FrequencyEmbedder:
    """Frequencies of all k-mers, k = 1 to 4 (nucleotides) or 1 to 2 (protein), and the log length."""
    if task.alphabet == "protein":
        return FrequencyEmbedder(name="kmer", letters=_AMINO, sizes=(1, 2), step=1)
    return FrequencyEmbedder(name="kmer", letters="ACGT", sizes=(1, 2, 3, 4), step=1)


def one_hot(task: Task) -> OneHotEmbedder:
    """Position by unit (codon in frame 0, nucleotide or residue), as long as the longest train sequence.

    Longer sequences are cut there and shorter ones leave zeros; positions are further bounded so that the
    features of all rows stay below 256 MiB. Both figures are stored with the result.
    """
    letters = _AMINO if task.alphabet == "protein" else "ACGT"
    width = 3 if task.unit == "codon" else 1
    longest = max(len(s) for s in task.sequences("train")) // width
    bound = max(1, _CELLS // (task.table.num_rows * len(letters) ** width))
    return OneHotEmbedder(letters=letters, width=width, positions=min(longest, bound), longest=longest)


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
    letters: str
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
        return np.stack([self._row(codes) for codes in _codes(sequences, self.letters)])

    def _row(self, codes: np.ndarray) -> np.ndarray:
        blocks = []
        for k in self.sizes:
            words = _words(codes, len(self.letters), k, self.step)
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

    >>> OneHotEmbedder(letters="ACGT", width=1, positions=2, longest=2).embed(["CUA"])[0].tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    """

    letters: str
    width: int
    positions: int
    longest: int
    name: str = "one-hot"

    @property
    def key(self) -> str:
        """Depends on the settings alone."""
        return fingerprint(["one-hot", 1, self.letters, self.width, self.positions])

    @property
    def settings(self) -> dict[str, object]:
        """For the result file."""
        return {"word": self.width, "positions": self.positions, "longest_train": self.longest}

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, positions * letters**width]`, zeros and ones."""
        words_of = len(self.letters) ** self.width
        out = np.zeros((len(sequences), self.positions * words_of), dtype=np.float32)
        for row, codes in zip(out, _codes(sequences, self.letters)):
            words, at = _words_at(codes, len(self.letters), self.width, self.width)
            inside = at < self.positions
            row[at[inside] * words_of + words[inside]] = 1
        return out


def _codes(sequences: Sequence[str], letters: str) -> Iterable[np.ndarray]:
    table = np.full(256, -1, dtype=np.int64)
    table[np.frombuffer(letters.encode(), dtype=np.uint8)] = np.arange(len(letters))
    if letters == "ACGT":
        table[ord("U")] = 3
    return (table[np.frombuffer(s.encode("latin-1", "replace"), dtype=np.uint8)] for s in sequences)


def _words(codes: np.ndarray, base: int, k: int, step: int) -> np.ndarray:
    return _words_at(codes, base, k, step)[0]


def _words_at(codes: np.ndarray, base: int, k: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    if len(codes) < k:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, k)[::step]
    known = (windows >= 0).all(axis=1)
    return (windows @ base ** np.arange(k - 1, -1, -1))[known], np.flatnonzero(known)
