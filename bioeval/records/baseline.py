"""Baselines as models of `seqloom embed`: the features of `eval run`, of any records instead of a task.

Vectors are those that `eval run` gives a probe. They are faster to make than to read, so none is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biodata.alphabet import get_alphabet
from biodata.errors import ConfigError, DataError
from bioeval.baselines import (
    NUCLEOTIDES,
    REACH,
    FrequencyEmbedder,
    NearbyEmbedder,
    OneHotEmbedder,
    baselines_of,
    codon_frequencies,
    kmer_frequencies,
    letters_of,
    residue_frequencies,
)
from bioeval.records.inputs import Records
from bioeval.words import symbols_of

WITH_TOKENS = ("kmer", "one-hot")
"""Those that also have a row for each unit."""
_ONE = frozenset("TU")  # read as one letter
_OF_NAME = {"aa-composition": "protein"}
_CELLS = 1 << 24  # float32 made at once: 64 MiB
_MOST_CELLS = 1 << 28  # of all one-hot rows where nobody says how long they are: 1 GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of a baseline.

    Attributes:
        name: of the baseline.
        many: whether a record has a row for each unit.
        unit: letters of a unit or of a one-hot word; 0 for one.
        positions: words of a one-hot row; 0 for those of the longest record.
    """

    name: str
    many: bool = False
    unit: int = 0
    positions: int = 0

    @property
    def width(self) -> int:
        """Letters of a word."""
        return max(1, self.unit)


class Features:
    """The rows of a baseline for some records.

    Args:
        asked: which baseline.
        records: of one alphabet: what `--alphabet` or the file says, else nucleotides, checked letter by
            letter. Lower case is read as upper case, as in tasks.

    Raises:
        ConfigError: no single alphabet, a baseline or unit that makes no sense for it, too large a one-hot.
        DataError: letters that the alphabet lacks.
    """

    def __init__(self, asked: Asked, records: Records) -> None:
        self.asked, self.records = asked, records
        self.alphabet = _alphabet(asked.name, records)
        if asked.name not in (able := baselines_of(self.alphabet)):
            raise ConfigError(
                f"baseline {asked.name!r} makes no sense for {self.alphabet}; possible: {', '.join(able)}"
            )
        units = (1, 3) if self.alphabet in NUCLEOTIDES else (1,)
        if asked.width not in units:
            raise ConfigError(
                f"unit = {asked.unit} of baseline {asked.name!r} and {self.alphabet}, allowed: "
                f"{' or '.join(map(str, units))}"
            )
        self.longest = 0
        self.embedder = self._made()

    def rows(self, letters: int) -> Iterator[tuple[list[str], list[str], Sequence[np.ndarray]]]:
        """Ids, sequences as they stand in the file, and rows, piece by piece in the order of the records.

        Args:
            letters: of a piece, about.

        Raises:
            DataError: letters that the alphabet lacks, naming record and letters.
        """
        many = self.asked.many
        for ids, sequences in self.records.pieces(letters=letters):
            texts = self._checked(ids, sequences)
            step = len(ids) if many else max(1, _CELLS // len(self.embedder.embed(texts[:1])[0]))
            for start in range(0, len(ids), step):
                some = slice(start, start + step)
                yield ids[some], sequences[some], self._embedded(texts[some])

    def about(self) -> dict[str, Any]:
        """For the metadata of the file: what the columns are."""
        found = dict(self.embedder.settings)
        if isinstance(self.embedder, OneHotEmbedder):
            del found["longest_train"]
            if self.asked.many:
                del found["positions"]
            else:
                del found["reach"]
                found["longest"] = self.longest or None
        if self.asked.many:
            found["unit"] = self.asked.width
        letters = self.embedder.letters
        found["letters"] = letters if isinstance(letters, str) else list(letters)
        return {
            **found, "alphabet": self.alphabet,
            "pooling": "per-residue" if self.asked.many else "its own", "long_sequences": self._long(),
        }  # fmt: skip

    def _long(self) -> str:
        if self.asked.many or not isinstance(self.embedder, OneHotEmbedder):
            return "read whole"
        if not self.asked.positions:
            return "none is cut: as long as the longest record, shorter ones end in zeros"
        return f"cut after {self.asked.positions} words, shorter ones end in zeros"

    def _embedded(self, texts: list[str]) -> list[np.ndarray]:
        if self.asked.many:
            assert not isinstance(self.embedder, FrequencyEmbedder)
            return self.embedder.embed_tokens(texts, width=self.asked.width)
        return list(self.embedder.embed(texts))

    def _made(self) -> FrequencyEmbedder | NearbyEmbedder | OneHotEmbedder:
        asked, alphabet = self.asked, self.alphabet
        if asked.name == "aa-composition":
            return residue_frequencies()
        if asked.name == "codon-freq":
            return codon_frequencies()
        letters = letters_of(alphabet, self._texts() if alphabet == "selfies" else ())
        if asked.name == "kmer" and asked.many:
            return NearbyEmbedder(letters=letters, width=asked.width, reach=REACH)
        if asked.name == "kmer":
            return kmer_frequencies(alphabet, letters)  # tokens of SELFIES are sequences of one token
        if asked.many:
            return OneHotEmbedder(letters=letters, width=asked.width, positions=0, longest=0, reach=REACH)
        positions = self._positions(len(letters) ** asked.width)
        return OneHotEmbedder(
            letters=letters, width=asked.width, positions=positions, longest=self.longest
        )  # fmt: skip

    def _positions(self, columns: int) -> int:
        """Words of a one-hot row: as many as asked for, or as the longest record has.

        Raises:
            ConfigError: rows of that length do not fit.
        """
        if self.asked.positions * columns > _CELLS:
            raise ConfigError(f"positions = {self.asked.positions}, allowed: at most {_CELLS // columns}")
        if self.asked.positions:
            return self.asked.positions
        lengths = [len(symbols_of(s)) if self.alphabet == "selfies" else len(s) for s in self._texts()]
        self.longest = max(1, max(lengths) // self.asked.width)
        if len(lengths) * self.longest * columns > _MOST_CELLS:
            size = len(lengths) * self.longest * columns * 4 / 2**30
            raise ConfigError(
                f"one-hot rows of {len(lengths)} records, the longest of {self.longest} words, take "
                f"{size:.1f} GiB: say with --positions how many words of each are kept"
            )
        return self.longest

    def _texts(self) -> Iterator[str]:
        for ids, sequences in self.records.again().pieces():
            yield from self._checked(ids, sequences)

    def _checked(self, ids: list[str], sequences: list[str]) -> list[str]:
        """The sequences as they are read.

        Raises:
            DataError: letters that the alphabet lacks.
        """
        known = get_alphabet("dna" if self.alphabet in NUCLEOTIDES else self.alphabet)
        also = _ONE if self.alphabet in NUCLEOTIDES else frozenset()
        texts = sequences if self.alphabet == "selfies" else [s.upper() for s in sequences]
        for name, text in zip(ids, texts):
            if wrong := known.invalid_symbols(text) - also:
                shown = ", ".join(repr(s) for s in sorted(wrong)[:8])
                raise DataError(
                    f"record {name!r} holds {shown}, which {self.alphabet} lacks",
                    where=", ".join(self.records.config.inputs),
                    hint="say with --alphabet what they are, or clean them with `seqloom data build`",
                )
        return texts


def _alphabet(name: str, records: Records) -> str:
    """What the sequences are, as asked, as the files say, or as the baseline takes them.

    Raises:
        ConfigError: the files say several things.
    """
    asked = records.config.alphabet
    if asked != "any":
        return asked
    said = records.alphabets
    if len(said) > 1:
        raise ConfigError(
            f"sequences of {', '.join(sorted(said))}: a baseline counts letters of one alphabet"
        )
    return said.pop() if said else _OF_NAME.get(name, "dna")
