"""The way of one input file's batches, from the reader to rows of `SCHEMA`.

What only some inputs need is imported where it is called: polars and the tables of the exclusion take longer
to load than a small genome to read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biodata.arrays import arrow, arrow_text, text_lengths
from biodata.curate.cds_cut import extract_cds
from biodata.curate.complexity import filter_complexity
from biodata.curate.dedupe import Digests, checksum_column, digests
from biodata.curate.exclusion_policy import ExclusionPolicy
from biodata.curate.ids import fill_empty_ids
from biodata.curate.letters import clean_letters
from biodata.curate.rules import RuleLog
from biodata.curate.text_pairs import add_texts
from biodata.curate.windows import cut_windows
from biodata.io import CUT_FROM, open_records
from biodata.read_config import ReadConfig
from biodata.schema import SCHEMA
from biodata.sources.local import SourceFile

if TYPE_CHECKING:
    from biodata.curate.exclusion import Exclusion
    from biodata.curate.labels import LabelTable


class FileSteps:
    """The way of one file's batches; what depends on other files is left to `biodata.merge`.

    Args:
        config: what to keep.
        file: the input.
        log: the book of the file.
        labels: joined by id if there are any.
    """

    def __init__(self, config: ReadConfig, file: SourceFile, log: RuleLog, labels: LabelTable | None) -> None:
        self.config, self.file, self.log, self.labels = config, file, log, labels
        self.records = 0

    def batches(self) -> Iterator[tuple[pa.RecordBatch, pa.Array, Digests]]:
        """Rows of `SCHEMA`, their lines in the file and the digests of their sequences."""
        batches = open_records(self.file.path, self.file.format, config=self.config, log=self.log)
        # `del` before the next read: two chromosomes at a time are one too many
        while (batch := next(batches, None)) is not None:
            self.records += batch.num_rows
            parts = self._curated(fill_empty_ids(batch, self.log))
            del batch
            while (part := next(parts, None)) is not None:
                lines, found = part["line"], digests(part["sequence"])
                part = self._assembled(part, checksum_column(found))
                yield part, lines, found
                del part

    def _curated(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        config, log = self.config, self.log
        if config.exclusion.active and config.alphabet != "selfies":  # molecules have no organism
            batch = _exclusion(config.exclusion).apply(batch, log)
            if not batch.num_rows:
                return
        batch = self._cleaned(batch)
        for part in cut_windows(batch, config.windows, log=log):
            rows = self._of_length(part)
            rows = filter_complexity(rows, policy=config.complexity, alphabet=config.alphabet, log=log)
            yield add_texts(rows, config.texts, log=log)

    def _cleaned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        config, policy = self.config, self.config.letters
        if config.alphabet == "selfies":
            from biodata.curate.molecules import check_selfies, to_selfies

            smiles = config.molecules == "smiles" and self.file.format != "seqloom"
            return to_selfies(batch, log=self.log) if smiles else check_selfies(batch, log=self.log)
        annotated = batch["features"].null_count < batch.num_rows
        is_cut = config.take == "cds" and annotated and self.file.format in CUT_FROM
        if config.take == "features" or is_cut:
            kinds = config.feature_types if config.take == "features" else ("CDS",)
            batch = extract_cds(batch, log=self.log, kinds=kinds)
        elif annotated:
            # removing letters would move every feature behind them
            drop = {name: "drop" for name in ("gaps", "blanks") if getattr(policy, name) == "remove"}
            policy = dataclasses.replace(policy, **drop)
        batch = clean_letters(batch, alphabet=config.alphabet, policy=policy, log=self.log)
        if config.take == "cds":
            from biodata.curate.cds import check_frames

            batch = check_frames(batch, policy=config.cds, log=self.log, transl_table=config.transl_table)
        return batch

    def _of_length(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        lengths = text_lengths(batch["sequence"])
        most = self.config.max_length or np.iinfo(np.int64).max
        for reason, broken in (("too-short", lengths < self.config.min_length), ("too-long", lengths > most)):
            if broken.any():
                rows = pa.array(broken)
                self.log.drop(reason, batch["id"].filter(rows), lines=batch["line"].filter(rows),
                              detail=[f"length {n}" for n in lengths[broken]])  # fmt: skip
        kept = (lengths >= self.config.min_length) & (lengths <= most)
        return batch if kept.all() else batch.filter(pa.array(kept))

    def _assembled(self, batch: pa.RecordBatch, checksums: pa.Array) -> pa.RecordBatch:
        n = batch.num_rows
        columns = {name: batch[name] for name in batch.schema.names if name in SCHEMA.names}
        columns["labels"] = self._labels(batch)
        columns |= {
            "alphabet": pa.repeat(arrow_text(self.config.alphabet), n),
            "length": arrow(text_lengths(batch["sequence"])),
            "source": self._source(batch),
            "checksum": checksums,
        }
        arrays = [columns.get(f.name, None) for f in SCHEMA]
        filled = [_nulls(f.type, n) if a is None else a for a, f in zip(arrays, SCHEMA)]
        return pa.record_batch(filled, schema=SCHEMA)

    def _source(self, batch: pa.RecordBatch) -> pa.Array:
        name = pa.repeat(arrow_text(self.file.name), batch.num_rows)
        if "record" not in batch.schema.names:
            return name
        return pc.call_function("binary_join_element_wise", [name, batch["record"], arrow_text(":")])

    def _labels(self, batch: pa.RecordBatch) -> pa.Array:
        """The labels of the file, and after them those of the label table."""
        if self.labels is None:
            return batch["labels"]
        found = self.labels.of(batch["id"])
        if batch["labels"].null_count == batch.num_rows:
            return found
        from biodata.curate.labels import concat_lists

        return concat_lists(batch["labels"], found)


def _nulls(kind: pa.DataType, n: int) -> pa.Array:
    """Nulls, cut from a column that is made once."""
    size = 1 << max(n - 1, 0).bit_length()
    return _null_column(kind, size).slice(0, n)


@lru_cache(maxsize=64)
def _null_column(kind: pa.DataType, n: int) -> pa.Array:
    return pa.nulls(n, kind)


@lru_cache(maxsize=1)
def _exclusion(policy: ExclusionPolicy) -> Exclusion:
    """One for all files of a process: a taxonomy takes seconds to read."""
    from biodata.curate.exclusion import Exclusion

    return Exclusion(policy)
