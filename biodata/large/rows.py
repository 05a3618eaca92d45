"""The rows of a build that do not fit into memory: split by k-mer sketches, audited by a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biodata.large.audit import audit_sample
from biodata.large.letters import Letters, open_letters, write_letters
from biodata.large.links import Known, candidate_files, find_crossing, find_links
from biodata.large.sketches import KMERS, kmer_length
from biodata.large.verify import Likeness
from biodata.similarity.search import LONG, Hits, merge_hits
from biodata.similarity.short import short_below
from biodata.similarity.sketch import MARGIN, sketch_settings
from biodata.splits.audit import Audit
from biodata.splits.columns import read_columns
from biodata.splits.split import Split, repair_again, split_from
from biodata.splits.ways import SPLITTERS, Rows, Units, anywhere

if TYPE_CHECKING:
    from biodata.rounds import Source


_PASSES = 2
"""Looks at all rows before the first audit: what one misses (about one row in three thousand of five million)
costs another audit, and a second look is far cheaper."""


@dataclass(frozen=True, slots=True)
class LargeRows:
    """Rows of which only lengths, clusters and similar pairs are held in memory."""

    of: Source

    def split(self) -> Split:
        """Clusters by sketches, then as for any set; pairs that cross the split are aligned, all of them."""
        of = self.of
        write_letters(of.stages, self._folder, alphabet=of.alphabet, executor=of.executor)
        files = [path for number in range(_PASSES) for path in self._candidates(number)]
        labels, links, known = find_links(self._letters, self._by, files, executor=of.executor)
        split = self._first(labels, links, known)
        del labels, links  # the split has them
        while True:
            more = find_crossing(split.split, self._by, files, known, executor=of.executor)
            if not len(more.query):
                break
            split = repair_again(split, more, of.config)
        info = split.info | {"search": split.info["search"] | {"pairs_aligned": known.aligned}}
        return replace(split, info=info)

    def audit(self, files: Sequence[Mapping[str, Any]], number: int) -> Audit:
        """Another sample in every round."""
        of = self.of
        settings = replace(of.config.audit_settings(), seed=of.config.seed + 1000 * number)
        return audit_sample(of.work, files, alphabet=of.alphabet, settings=settings,
                            workdir=of.work / "tmp" / f"audit-{number}", executor=of.executor)  # fmt: skip

    def repair(self, split: Split, leaks: Hits, number: int) -> Split:
        """What a sample finds says that more was missed: another look at all rows, with other k-mers."""
        of = self.of
        write_letters(of.stages, self._folder, alphabet=of.alphabet, executor=of.executor)
        files = self._candidates(number + _PASSES)
        known = Known()
        known.add(split.links.query, split.links.target)
        more = find_crossing(split.split, self._by, files, known, executor=of.executor)
        return repair_again(split, merge_hits(leaks, more), of.config)

    def _candidates(self, number: int) -> list[Path]:
        """Pairs that pass `number` brings up, 0 being the first."""
        folder = self.of.work / "tmp" / f"pass-{number}"
        return candidate_files(self._letters, self._by, folder, seed=number, executor=self.of.executor)

    def _first(self, labels: np.ndarray, links: Hits, known: Known) -> Split:
        of = self.of
        columns = read_columns(of.stages, of.config, alphabet=of.alphabet)
        count = pa.chunked_array([pa.nulls(len(labels), pa.large_string())])
        rows = Rows(sequences=count, alphabet=of.alphabet, columns=columns, links=links,
                    workdir=of.work / "tmp")  # fmt: skip
        info = {"method": "k-mer sketches", "command": "", "version": "", "clustered_by_equality_only": 0}
        units = Units(labels=labels, whole=False, place=anywhere(len(labels)), info=info)
        if of.config.by != "cluster":
            units = SPLITTERS.load(of.config.by)(rows, of.config)
        return split_from(rows, units, self._described(known), of.config)

    def _described(self, known: Known) -> dict[str, Any]:
        """How similar pairs were looked for, for the manifest."""
        lengths = self._letters.lengths
        return {
            "command": "", "method": "k-mer sketches of all rows; the pairs they bring up are aligned",
            "alike_from_identity": round(self.of.config.identity - MARGIN, 4),
            "kmer": kmer_length(int(lengths.sum()), self.of.alphabet), "kmers_of_a_row": KMERS,
            "pairs_brought_up": known.candidates,
            "compared_exactly_below_length": 0, "rows_compared_exactly": 0,
            "rows_too_short_for_sure": int((lengths < short_below(self.of.alphabet)).sum()),
            "compared_by_sketch_above_length": LONG,
            "rows_compared_by_sketch": int((lengths > LONG).sum()),
        }  # fmt: skip

    @property
    def _folder(self) -> Path:
        return (self.of.work / "letters").absolute()

    @property
    def _letters(self) -> Letters:
        return open_letters(self._folder)

    @property
    def _by(self) -> Likeness:
        of = self.of
        how = sketch_settings(alphabet=of.alphabet, identity=of.config.identity, coverage=of.config.coverage)
        return Likeness(letters=self._folder, alphabet=of.alphabet, sketch=how)
