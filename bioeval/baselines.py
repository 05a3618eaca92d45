"""Baselines that need no model: what a score must beat before it means anything.

Each is an `Embedder` made for a task, so that it meets the same probe, the same selection and the same test
rows as a model. Those that are no embedders (the commonest class, one side of a pair, the number of
mutations) are in `bioeval.running.rivals`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from biodata.catalog import Catalog
from biodata.files import fingerprint
from bioeval.protocols import Embedder
from bioeval.running.features import joined
from bioeval.tasks.task import Task
from bioeval.words import FrequencyEmbedder, Letters, NearbyEmbedder, OneHotEmbedder, tokens_in

__all__ = [
    "BASELINES", "FrequencyEmbedder", "NearbyEmbedder", "OneHotEmbedder", "PairEmbedder", "baselines_for",
    "baselines_of", "codon_frequencies", "kmer_frequencies", "letters_of", "residue_frequencies",
]  # fmt: skip

BASELINES = Catalog(
    "baseline",
    {
        "aa-composition": "bioeval.baselines:aa_composition",
        "codon-freq": "bioeval.baselines:codon_freq",
        "kmer": "bioeval.baselines:kmer",
        "one-hot": "bioeval.baselines:one_hot",
    },
)

_CELLS = 1 << 26  # float32 features of all rows of a one-hot baseline: at most 256 MiB
_AMINO = "ACDEFGHIKLMNPQRSTVWYUO"
REACH = 7
"""Units on both sides that a baseline of single positions sees."""
NUCLEOTIDES = ("dna", "rna")


def baselines_for(task: Task) -> tuple[str, ...]:
    """Names of the baselines that make sense for a task; none where nothing is embedded."""
    if task.kind == "zero-shot":
        return ()
    if task.kind in ("token", "contacts"):
        return ("kmer", "one-hot")
    return baselines_of(task.alphabet)


def baselines_of(alphabet: str) -> tuple[str, ...]:
    """Names of the baselines of whole sequences of an alphabet."""
    own = {"protein": ("aa-composition",), "dna": ("codon-freq",), "rna": ("codon-freq",)}
    return (*own.get(alphabet, ()), "kmer", "one-hot")


def aa_composition(task: Task) -> Embedder:
    """Frequencies of the 20 residues, U and O, and the logarithm of the length."""
    return residue_frequencies()


def codon_freq(task: Task) -> Embedder:
    """64 triplet frequencies in frame 0 and the logarithm of the length.

    For a sequence that is no CDS these are just its 3-mers at every third letter.
    """
    return _paired(task, codon_frequencies(), _frequencies(task, "codon-freq"))


def kmer(task: Task) -> Embedder:
    """Frequencies of all k-mers, k = 1 to 4 (nucleotides) or 1 to 2 (residues, tokens), and the log length.

    For token and contact tasks those within seven units of a position.
    """
    if task.kind in ("token", "contacts"):
        letters = letters_of(task.alphabet, task.sequences("train"))
        return NearbyEmbedder(letters=letters, width=max(1, task.width), reach=REACH)
    return _paired(task, kmer_frequencies(task.alphabet, _first(task)), _frequencies(task, "kmer"))


def one_hot(task: Task) -> Embedder:
    """Position by unit (codon in frame 0, nucleotide or residue), as long as the longest train sequence.

    Longer sequences are cut there and shorter ones leave zeros; positions are further bounded so that the
    features of all rows stay below 256 MiB. Both figures are stored with the result. For token tasks a
    position and seven units on both sides, for contacts the position alone.
    """
    width, train = max(1, task.width), _first(task)
    made = _one_hot(task.alphabet, train, width=width, task=task)
    if task.kind != "pairs":
        return made
    other = task.second_alphabet
    second = _one_hot(
        other, task.seconds("train") or [], width=width if other in NUCLEOTIDES else 1, task=task
    )
    return PairEmbedder(name="one-hot", first=made, second=second, same=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEmbedder:
    """Two baselines, one for each side of a pair.

    Attributes:
        first: of the one side.
        second: of the other.
        same: whether their columns mean the same, so that difference and product do too.
    """

    name: str
    first: Embedder
    second: Embedder
    same: bool

    @property
    def key(self) -> str:
        """Depends on the settings alone."""
        return fingerprint(["pair", 1, self.first.key, self.second.key, self.same])

    @property
    def settings(self) -> dict[str, object]:
        """For the result file."""
        return {"first": getattr(self.first, "settings", {}), "second": getattr(self.second, "settings", {}),
                "difference_and_product": self.same}  # fmt: skip

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """Vectors of first sides."""
        return self.first.embed(sequences)

    def embed_pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]` of both sides."""
        a, b = self.first.embed(first), self.second.embed(second)
        return joined(a, b) if self.same else np.concatenate([a, b], axis=1)


def _first(task: Task) -> list[str]:
    """The sequences a baseline is made from: train rows, or where there are none those of test."""
    return task.sequences("train" if "train" in task.splits() else "test")


def letters_of(alphabet: str, sequences: Iterable[str]) -> Letters:
    """Letters that are counted; of SELFIES the tokens that occur in some sequences."""
    if alphabet == "selfies":
        return tokens_in(sequences)
    return "ACGT" if alphabet in NUCLEOTIDES else _AMINO


def residue_frequencies() -> FrequencyEmbedder:
    """What `aa-composition` is of any protein."""
    return FrequencyEmbedder(name="aa-composition", letters=_AMINO, sizes=(1,), step=1)


def codon_frequencies() -> FrequencyEmbedder:
    """What `codon-freq` is of any nucleotides."""
    return FrequencyEmbedder(name="codon-freq", letters="ACGT", sizes=(3,), step=3)


def kmer_frequencies(alphabet: str, sequences: Iterable[str]) -> FrequencyEmbedder:
    """What `kmer` is of an alphabet; of SELFIES the tokens of some sequences are counted."""
    sizes = (1, 2, 3, 4) if alphabet in NUCLEOTIDES else (1, 2)
    return FrequencyEmbedder(name="kmer", letters=letters_of(alphabet, sequences), sizes=sizes, step=1)


def _frequencies(task: Task, name: str) -> FrequencyEmbedder | None:
    """What the other side of a pair gets."""
    if task.kind != "pairs":
        return None
    if name == "codon-freq" and task.second_alphabet in NUCLEOTIDES:
        return codon_frequencies()
    return kmer_frequencies(task.second_alphabet, task.seconds("train") or [])


def _paired(task: Task, first: FrequencyEmbedder, second: FrequencyEmbedder | None) -> Embedder:
    if second is None:
        return first
    same = (first.letters, first.sizes, first.step) == (second.letters, second.sizes, second.step)
    return PairEmbedder(name=first.name, first=first, second=second, same=same)


def _one_hot(alphabet: str, train: Sequence[str], *, width: int, task: Task) -> OneHotEmbedder:
    letters = letters_of(alphabet, train)
    lengths = (s.count("[") if isinstance(letters, tuple) else len(s) for s in train)
    longest = max(1, max(lengths, default=0) // width)
    bound = max(1, _CELLS // (task.table.num_rows * len(letters) ** width))
    return OneHotEmbedder(
        letters=letters, width=width, positions=min(longest, bound), longest=longest,
        reach=REACH if task.kind == "token" else 0,
    )  # fmt: skip
