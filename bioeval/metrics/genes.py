"""Genes that a gene finder sees: what share of the letters is coding, how many there are and how long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.errors import require
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import NotApplicableError, Setting

LEAST_LETTERS = 300
_MOST_LETTERS = 50_000_000


def find_genes(sequences: SequenceSet) -> np.ndarray:
    """Letters, coding letters (either strand, each once) and genes of each sequence, float64 [n, 3].

    Source: Prodigal (Hyatt et al. 2010, doi:10.1186/1471-2105-11-119) in its metagenome mode, which needs no
    training, as pyrodigal 3 (doi:10.21105/joss.04296) has it; genes may run over the ends. Made for bacteria
    and archaea: of others it finds long open frames.

    >>> find_genes(SequenceSet.from_strings(["ACGT" * 30, "TTAACTAACTAA" * 10])).tolist()
    [[120.0, 120.0, 1.0], [120.0, 0.0, 0.0]]
    """
    pyrodigal = require("pyrodigal", extra="eval")
    finder = pyrodigal.GeneFinder(meta=True)
    result = np.zeros((len(sequences), 3))
    for row in range(len(sequences)):
        length = int(sequences.lengths[row])
        genes = finder.find_genes(sequences.spelt(row)) if length else []
        places = [(gene.begin - 1, min(gene.end, length)) for gene in genes]
        result[row] = length, _covered(places), len(genes)
    return result


def _covered(places: list[tuple[int, int]]) -> int:
    """Letters in at least one of some stretches, each from its first letter to the one after its last.

    >>> _covered([(7, 9), (0, 3), (2, 5)])
    7
    """
    total, done = 0, 0
    for begin, end in sorted(places):
        total += max(end - max(begin, done), 0)
        done = max(done, end)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Genes:
    """Coding density in percent of the letters, genes a thousand letters, and letters a gene."""

    @classmethod
    def of_run(cls, setting: Setting) -> list[Genes]:
        """Of pieces of genomes."""
        setting.need_nucleotides()
        if setting.coding:
            raise NotApplicableError("the sequences are single genes already: see orf")
        setting.need_length(LEAST_LETTERS)
        letters = sum(int(s.lengths.sum()) for s in (setting.generated, setting.reference))
        if letters > _MOST_LETTERS:
            raise NotApplicableError(
                f"{letters:,} letters are more than the {_MOST_LETTERS:,} that are searched for genes; "
                "lower --max-sequences"
            )
        require("pyrodigal", extra="eval")
        return [cls()]

    @property
    def measures(self) -> tuple[Measure, ...]:
        said = {
            "coding_density": ("%", "Letters in predicted genes"),
            "genes_per_kb": ("genes/kb", "Predicted genes a thousand letters"),
            "gene_length": ("nt", "Coding letters a predicted gene (0: none found)"),
        }
        return tuple(Measure(name=n, unit=u, title=t, kind="share") for n, (u, t) in said.items())

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return find_genes(sequences)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        letters, coding, genes = (rows.astype(np.float64) @ first).T
        letters = np.maximum(letters, 1)
        return np.stack(
            [100 * coding / letters, 1000 * genes / letters, coding / np.maximum(genes, 1)], axis=-1
        )
