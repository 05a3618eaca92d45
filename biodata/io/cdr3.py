"""Rows that are a CDR3 with its gene calls, as archives of T-cell receptors give them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa

from biodata.curate.repertoire import keep_rearrangements
from biodata.curate.rules import RuleLog
from biodata.errors import DataError
from biodata.io.nested import feature_lists, label_lists, raw_batch
from biodata.read_config import ReadConfig

SPECIES = {
    "HomoSapiens": ("Homo sapiens", 9606),
    "MusMusculus": ("Mus musculus", 10090),
    "MacacaMulatta": ("Macaca mulatta", 9544),
    "RattusNorvegicus": ("Rattus norvegicus", 10116),
}
_NOT_LABELS = ("id", "line", "cdr3")


def check_wanted(config: ReadConfig | None, path: Path) -> ReadConfig:
    """The configuration, or the one for CDR3s where there is none.

    Raises:
        DataError: nucleotides, or another region, are asked for.
    """
    if config is None:
        return ReadConfig(alphabet="protein")
    if config.alphabet != "protein":
        raise DataError("this file has CDR3 amino acids only", where=path, hint="--alphabet protein")
    if config.repertoire.region not in ("auto", "junction", "cdr3"):
        given = config.repertoire.region
        raise DataError(
            f"no region {given!r}: only CDR3 amino acids", where=path, hint="--region auto or junction"
        )
    return config


def cdr3_batch(frame: pl.DataFrame, *, config: ReadConfig, log: RuleLog) -> pa.RecordBatch:
    """The rows that are kept.

    What these archives call CDR3 is IMGT's junction, with the conserved C and F or W at its ends. It is given
    as it stands; the feature `CDR3` is what lies between, where the ends are these residues.

    Args:
        frame: `id`, `line`, `cdr3`, `locus`, `v_call`, `pair` and further columns, which become labels.
        config: for its policy `repertoire`.
        log: the book of the file.
    """
    # stops and shifts of the frame are written *, _ or ~ inside a CDR3
    unknown = pl.lit(None, pl.Boolean)
    typed = frame.with_columns(
        productive=~pl.col("cdr3").str.contains("[*_~]").fill_null(value=False),
        vj_in_frame=unknown,
        stop_codon=unknown,
        redundancy=pl.lit(None, pl.Float64),
        anarci_status=pl.lit(None, pl.String),
    )
    kept = keep_rearrangements(typed, config.repertoire, log)
    none = kept["cdr3"].is_null()
    if none.any():
        gone = kept.filter(none)
        log.drop("no-sequence", gone["id"].to_arrow(), lines=gone["line"].to_arrow(), detail="no CDR3")
        kept = kept.filter(~none)
    names = [n for n in frame.columns if n not in _NOT_LABELS and n not in ("organism", "taxon_id")]
    ends = kept["cdr3"].str.len_bytes().cast(pl.Int64) - 1
    anchored = kept["cdr3"].str.contains(r"^C.*[FW]$").fill_null(value=False) & (ends > 1)
    start = pl.Series([1], dtype=pl.Int64).new_from_index(0, kept.height)
    return raw_batch({
        "id": kept["id"], "sequence": kept["cdr3"], "line": kept["line"],
        "features": feature_lists(kept.height, {"CDR3": (start.set(~anchored, None), ends)}),
        "labels": label_lists(kept.height, [(name, kept[name]) for name in names]),
        **{name: kept[name] for name in ("organism", "taxon_id") if name in kept.columns},
    })  # fmt: skip
