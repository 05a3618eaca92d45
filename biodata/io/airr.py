"""AIRR rearrangement tables (https://docs.airr-community.org): TSV of IgBLAST, Immcantation, 10x, ..."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.io.rearrangements import Rearrangements, wanted
from biodata.io.streams import open_binary
from biodata.io.tables import config_for, has_more, read_header, read_rows
from biodata.read_config import ReadConfig

NULLS = ("", "NA", "null", "None")


def read_airr(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """Rearrangements of an AIRR table; which part is taken and kept is `ReadConfig.repertoire`.

    Chains of one cell (`cell_id`) get an equal label `pair`, and so stay together in a split.

    Args:
        path: the file, of any compression.
        log: its book.
        alphabet: `dna`, `rna` or `protein`, where no `config` is given.
        config: what to read.

    Yields:
        Batches of `RAW_SCHEMA`: `id` is `sequence_id`; regions are features, gene calls and the like labels.

    Raises:
        DataError: no header, no column for the region asked for, or text that is not UTF-8.
    """
    path = Path(path)
    config = config or config_for(alphabet)
    log = log or RuleLog(file=path.name)
    with open_binary(path) as stream:
        if not has_more(stream):
            return
        header = read_header(stream, where=path)
        chains = Rearrangements(config, header, where=path, log=log)
        rows = read_rows(stream, header, where=path, log=log, columns=wanted(header.names), nulls=NULLS)
        for frame, lines in rows:
            frame = frame.with_columns(
                id=pl.col("sequence_id").fill_null("") if "sequence_id" in header.names else pl.lit(""),
                line=lines, pair=_cell(frame),
            )  # fmt: skip
            yield chains.batch(frame)


def _cell(frame: pl.DataFrame) -> pl.Expr:
    """What names a cell: barcodes repeat between samples."""
    if "cell_id" not in frame.columns:
        return pl.lit(None, pl.String)
    before = [pl.col(name) for name in ("repertoire_id", "sample_id", "subject_id") if name in frame.columns]
    cell = pl.col("cell_id")
    return pl.concat_str([before[0].fill_null(""), cell], separator=":") if before else cell
