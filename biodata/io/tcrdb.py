"""Project tables of TCRdb (doi:10.1093/nar/gkaa796): CDR3 amino acids with gene calls and clone fractions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.io.cdr3 import cdr3_batch, check_wanted
from biodata.io.streams import open_binary
from biodata.io.tables import has_more, read_header, read_rows
from biodata.read_config import ReadConfig

_GENES = {"Vregion": "v_call", "Dregion": "d_call", "Jregion": "j_call"}


def read_tcrdb(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """CDR3s of a TCRdb project; the id is `RunId:row`, `Unknown` is no value.

    Yields:
        Batches of `RAW_SCHEMA` with labels `run`, `locus`, `v_call`, `d_call`, `j_call`, `clone_fraction`.

    Raises:
        DataError: nucleotides are asked for, or the file is no such table.
    """
    del alphabet
    path = Path(path)
    config, log = check_wanted(config, path), log or RuleLog(file=path.name)
    with open_binary(path) as stream:
        if not has_more(stream):
            return
        header = read_header(stream, where=path)
        header.require(["AASeq"], where=path, hint="a TCRdb table is expected")
        done = 0
        for frame, lines in read_rows(stream, header, where=path, log=log, nulls=("", "Unknown")):
            numbers = pl.Series("row", np.arange(done + 1, done + frame.height + 1))
            done += frame.height
            yield cdr3_batch(_named(frame.with_columns(numbers, line=lines)), config=config, log=log)


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    def text(name: str) -> pl.Expr:
        return pl.col(name) if name in frame.columns else pl.lit(None, pl.String)

    run = text("RunId").fill_null("tcrdb")
    return frame.select(
        "line", id=pl.concat_str([run, pl.col("row").cast(pl.String)], separator=":"),
        cdr3=text("AASeq"), run=text("RunId"), locus=text("Vregion").str.slice(0, 3),
        **{new: text(old) for old, new in _GENES.items()},
        clone_fraction=text("cloneFraction").cast(pl.Float64, strict=False), pair=pl.lit(None, pl.String),
    )  # fmt: skip
