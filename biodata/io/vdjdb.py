"""VDJdb (doi:10.1093/nar/gkx760): CDR3 amino acids of T-cell receptors of known specificity.

Two layouts: chunks of the source repository and `vdjdb_full.txt` have both chains in a row (`cdr3.alpha`,
`cdr3.beta`), the release `vdjdb.txt` has one chain a row (`gene`, `cdr3`, `v.segm`, `complex.id`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa

from biodata.curate.rules import RuleLog
from biodata.io.cdr3 import SPECIES, cdr3_batch, check_wanted
from biodata.io.streams import open_binary
from biodata.io.tables import Header, has_more, read_header, read_rows
from biodata.read_config import ReadConfig

_LABELS = {
    "antigen.epitope": "epitope", "antigen.gene": "antigen_gene", "antigen.species": "antigen_species",
    "mhc.a": "mhc_a", "mhc.b": "mhc_b", "mhc.class": "mhc_class", "species": "species",
    "reference.id": "reference", "meta.subject.id": "subject", "meta.study.id": "study",
    "vdjdb.score": "vdjdb_score",
}  # fmt: skip
_CHAINS = {"alpha": "TRA", "beta": "TRB"}


def read_vdjdb(
    path: Path, *, log: RuleLog | None = None, alphabet: str | None = None, config: ReadConfig | None = None
) -> Iterator[pa.RecordBatch]:
    """CDR3s of VDJdb, one row a chain; the chains of one receptor have an equal label `pair`.

    The id is `FILE:line:TRA` or `FILE:line:TRB`, since record numbers of VDJdb begin anew in each chunk.

    Yields:
        Batches of `RAW_SCHEMA` with labels `locus`, `v_call`, `d_call`, `j_call`, `epitope`, `antigen_gene`,
        `antigen_species`, `mhc_a`, `mhc_b`, `mhc_class`, `species`, `reference`, ...

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
        header.require(["cdr3", "cdr3.alpha", "cdr3.beta"], where=path, hint="a VDJdb table is expected")
        name = path.name.split(".")[0]
        for frame, lines in read_rows(stream, header, where=path, log=log, nulls=("", "NA", "None")):
            rows = _chains(frame.with_columns(line=lines), header, name)
            yield cdr3_batch(rows, config=config, log=log)


def _chains(frame: pl.DataFrame, header: Header, file: str) -> pl.DataFrame:
    place = pl.concat_str([pl.lit(file), pl.col("line").cast(pl.String)], separator=":")
    if "cdr3" in header.names:
        number = _text(frame, "complex.id")
        pair = pl.when(number != "0").then(pl.concat_str([pl.lit(file), number], separator=":"))
        names = {"cdr3": "cdr3", "v_call": "v.segm", "d_call": "d.segm", "j_call": "j.segm"}
        parts = [_chain(frame, names, locus=_text(frame, "gene"), pair=pair)]
    else:
        has_alpha, has_beta = (_text(frame, f"cdr3.{chain}").is_not_null() for chain in _CHAINS)
        pair = pl.when(has_alpha & has_beta).then(place)
        # a row without any CDR3 is counted once
        rows = {"alpha": frame.filter(has_alpha), "beta": frame.filter(has_beta | ~has_alpha)}
        parts = [
            _chain(rows[chain], {"cdr3": f"cdr3.{chain}", "v_call": f"v.{chain}", "d_call": f"d.{chain}",
                                 "j_call": f"j.{chain}"}, locus=pl.lit(locus), pair=pair)
            for chain, locus in _CHAINS.items()
        ]  # fmt: skip
    every = pl.concat(parts).with_columns(id=pl.concat_str([place, pl.col("locus")], separator=":"))
    return every.sort("line", "locus", maintain_order=True)


def _chain(frame: pl.DataFrame, names: Mapping[str, str], *, locus: pl.Expr, pair: pl.Expr) -> pl.DataFrame:
    known = [pl.col(key).alias(label) for key, label in _LABELS.items() if key in frame.columns]
    organisms = {key: organism for key, (organism, _) in SPECIES.items()}
    taxa = {key: taxon for key, (_, taxon) in SPECIES.items()}
    species = _text(frame, "species")
    return frame.select(
        "line", *(_text(frame, old).alias(new) for new, old in names.items()), *known,
        locus=locus, pair=pair, organism=species.replace(organisms),
        taxon_id=species.replace_strict(taxa, default=None, return_dtype=pl.Int64),
    )  # fmt: skip


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name) if name in frame.columns else pl.lit(None, pl.String)
